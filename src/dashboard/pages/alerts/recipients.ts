/** Recipients that are no addresses: what the API calls them, and what people do. */
export const RECIPIENTS: Readonly<Record<string, string>> = {
  "role:owner": "All owners",
  "role:admin": "All admins",
  "role:billing": "All with the role billing",
  "role:viewer": "All viewers",
  user: "The user whom the alert is about",
}
