import { expect, test } from "vitest"
import { ipRangeFault, isIpAllowed } from "../../src/identity/ip-allow.ts"
import { mayUseEndpoint } from "../../src/identity/virtual-key.ts"
import { sampleKey } from "../support/sample-key.ts"

test.each<[range: string, inside: string[], outside: string[]]>([
  ["192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"], ["192.0.2.8", "::ffff:192.0.2.8"]],
  ["10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["11.0.0.0", "9.255.255.255", "::a01:203"]],
  ["10.1.2.3/30", ["10.1.2.0", "10.1.2.3"], ["10.1.2.4"]],
  ["0.0.0.0/0", ["0.0.0.0", "255.255.255.255", "::ffff:8.8.8.8"], ["::1", "2001:db8::1"]],
  ["2001:db8::/33", ["2001:db8::1", "2001:db8:7fff::", "2001:0DB8:0:0::1"], ["2001:db8:8000::1", "10.0.0.1"]],
  ["::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "127.0.0.1"]],
  ["::/0", ["::1", "2001:db8::1"], ["10.0.0.1", "::ffff:10.0.0.1"]],
  ["fe80::/10", ["fe80::1%eth0", "fe80::1"], ["fec0::1%eth0"]],
  ["::ffff:10.0.0.0/104", ["10.9.9.9", "::ffff:10.9.9.9"], ["11.0.0.0", "::1"]],
  ["0:0:0:0:0:FFFF:a00:1", ["10.0.0.1"], ["10.0.0.2"]],
  ["::ffff:0:0/96", ["8.8.8.8"], ["::1"]],
])("%s", (range, inside, outside) => {
  expect(ipRangeFault(range)).toBeNull()
  expect(inside.filter((address) => !isIpAllowed([range], address))).toEqual([])
  expect(outside.filter((address) => isIpAllowed([range], address))).toEqual([])
})

test("one range of several is enough, of either family, as often as it is asked", () => {
  const ranges = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
  for (let round = 0; round < 2; round++) {
    for (const address of ["10.1.1.1", "192.0.2.1", "2001:db8::5"]) expect(isIpAllowed(ranges, address)).toBe(true)
    expect(isIpAllowed(ranges, "192.0.2.2")).toBe(false)
  }
})

test("without ranges every address may, with none in the list no address may", () => {
  expect(isIpAllowed(null, "192.0.2.1")).toBe(true)
  expect(isIpAllowed(null, "")).toBe(true)
  expect(isIpAllowed([], "192.0.2.1")).toBe(false)
})

test("what is no address is in no range, and what is no range lets nobody in", () => {
  for (const address of ["", "localhost", "10.0.0", "10.0.0.1:80", "[::1]"]) {
    expect(isIpAllowed(["0.0.0.0/0", "::/0"], address)).toBe(false)
  }
  expect(isIpAllowed(["nonsense", "10.0.0.1"], "10.0.0.2")).toBe(false)
  expect(isIpAllowed(["nonsense", "10.0.0.1"], "10.0.0.1")).toBe(true)
})

test.each([
  ...["", " ", "*", "localhost", "10.0.0", "010.0.0.1", "10.0.0.256", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08"],
  ...["10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", " 10.0.0.1", "10.0.0.1-10.0.0.9", "/8"],
  ...["2001:db8::/129", "2001:db8:::/32", "[::1]", "fe80::1%eth0", "fe80::1%eth0/64", "::ffff:10.0.0.0/95"],
])("%j is refused as a range", (text) => {
  expect(ipRangeFault(text)).toContain("192.0.2.0/24")
})

test("endpoints are allowed by glob; without a list all are, with an empty one none", () => {
  const key = sampleKey({ allowedEndpoints: ["chat.completions", "files.*"] })
  expect(["chat.completions", "files.create", "files.content"].every((name) => mayUseEndpoint(key, name))).toBe(true)
  expect(["messages", "files", "chat.completions.list", ""].some((name) => mayUseEndpoint(key, name))).toBe(false)
  expect(mayUseEndpoint(sampleKey(), "messages")).toBe(true)
  expect(mayUseEndpoint(sampleKey({ allowedEndpoints: [] }), "messages")).toBe(false)
})
