/** Who is logged in, how the page looks, and the way out. */
import { Menu } from "@base-ui/react/menu"
import { type Session, useLogOut } from "../api/session.ts"
import { Icon, type IconName } from "../ui/icons.tsx"
import { type Theme, useTheme } from "../ui/theme.ts"
import { areShortcutsOn, switchShortcuts } from "./shortcuts.ts"

const ITEM =
  "control flex w-full cursor-default items-center gap-3 rounded-item px-2.5 py-1.5 text-table outline-none data-[highlighted]:bg-sunken"
const THEMES: readonly { theme: Theme; text: string; icon: IconName }[] = [
  { theme: "system", text: "As the system", icon: "system" },
  { theme: "light", text: "Light", icon: "sun" },
  { theme: "dark", text: "Dark", icon: "moon" },
]

export function UserMenu({ session, isShort = false }: { session: Session; isShort?: boolean }) {
  const [theme, setTheme] = useTheme()
  const logOut = useLogOut()
  return (
    <Menu.Root>
      <Menu.Trigger
        aria-label={`${session.display_name}: theme and log-out`}
        className={`flex items-center gap-2.5 rounded-item text-left text-ink2 hover:bg-sunken hover:text-ink ${isShort ? "size-11 justify-center" : "w-full px-2.5 py-1.5 max-lg:justify-center max-lg:px-0 max-lg:py-2.5"}`}
      >
        <Icon name="people" />
        {!isShort && <span className="truncate max-lg:sr-only">{session.display_name}</span>}
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner sideOffset={6} align="start" className="z-50 outline-none">
          <Menu.Popup className="pop-motion w-60 rounded-control border border-line bg-surface p-1 shadow-float outline-none">
            <p className="px-2.5 py-1.5 text-meta text-ink3">
              Logged in as <span className="text-ink">{session.display_name}</span>
              <br />
              {session.roles.length === 0 ? "sees what is their own" : session.roles.map(({ role }) => role).join(", ")}
            </p>
            <Menu.Separator className="my-1 h-px bg-line" />
            <Menu.RadioGroup value={theme} onValueChange={(chosen: Theme) => setTheme(chosen)}>
              {THEMES.map(({ theme: value, text, icon }) => (
                <Menu.RadioItem key={value} value={value} className={ITEM}>
                  <Icon name={icon} />
                  {text}
                  <Menu.RadioItemIndicator className="ml-auto">
                    <Icon name="check" />
                  </Menu.RadioItemIndicator>
                </Menu.RadioItem>
              ))}
            </Menu.RadioGroup>
            <Menu.Separator className="my-1 h-px bg-line" />
            <Menu.CheckboxItem
              defaultChecked={areShortcutsOn()}
              onCheckedChange={switchShortcuts}
              className={`${ITEM} max-sm:hidden`}
            >
              <span className="w-4">
                <Menu.CheckboxItemIndicator>
                  <Icon name="check" />
                </Menu.CheckboxItemIndicator>
              </span>
              Shortcuts: g o, g u, g r, g k, /
            </Menu.CheckboxItem>
            <Menu.Item className={ITEM} onClick={() => void logOut()}>
              <Icon name="leave" />
              Log out
            </Menu.Item>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  )
}
