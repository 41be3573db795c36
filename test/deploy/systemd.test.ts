/** No systemd runs here: its own tools check the unit where they are there, and its promises are read in any case. */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { expect, test } from "vitest"
import { configSchema } from "../../src/config/schema.ts"
import { deployText, durationMs } from "./deploy-files.ts"

const text = deployText("tallygate.service")
/** Everything that systemd.service(5), systemd.exec(5), systemd.kill(5) and systemd.unit(5) have and the unit uses. */
const KEYS = {
  Unit: ["Description", "After", "Wants", "StartLimitIntervalSec", "StartLimitBurst"],
  Service: [
    ..."Type WorkingDirectory ExecStart ExecReload Environment EnvironmentFile Restart RestartSec".split(" "),
    ..."KillMode KillSignal TimeoutStopSec TimeoutStartSec DynamicUser StateDirectory StateDirectoryMode".split(" "),
    ..."UMask LimitNOFILE CapabilityBoundingSet AmbientCapabilities NoNewPrivileges ProtectSystem".split(" "),
    ..."ProtectHome ProtectClock ProtectHostname ProtectControlGroups ProtectKernelLogs".split(" "),
    ..."ProtectKernelModules ProtectKernelTunables ProtectProc PrivateDevices PrivateTmp RemoveIPC".split(" "),
    ..."RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID LockPersonality".split(" "),
    ..."SystemCallArchitectures SystemCallFilter SystemCallErrorNumber".split(" "),
  ],
  Install: ["WantedBy"],
}
/** Of `systemd-analyze security`, from 0 (nothing is exposed) to 10. */
const EXPOSURE_MAX = 2

function settings(): { section: string; key: string; value: string }[] {
  let section = ""
  return text.split("\n").flatMap((line) => {
    const opened = /^\[(\w+)\]$/.exec(line)?.[1]
    if (opened !== undefined) section = opened
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? []
    return key === undefined ? [] : [{ section, key, value: value ?? "" }]
  })
}

function settingOf(key: string): string {
  return settings().find((setting) => setting.key === key)?.value ?? ""
}

test("every line is a setting that systemd has in that section", () => {
  const strange = text.split("\n").filter((line) => !/^(#.*|\[\w+\]|\w+=.*|)$/.test(line))
  expect(strange).toEqual([])
  for (const { section, key } of settings()) expect(KEYS[section as keyof typeof KEYS], section).toContain(key)
})

test("calls in flight have longer than the drain, and it is the launcher that is asked", () => {
  const { shutdown_grace_ms: graceMs } = configSchema.parse({}).timeouts
  expect(durationMs(settingOf("TimeoutStopSec"))).toBeGreaterThan(graceMs + 30_000)
  expect([settingOf("KillMode"), settingOf("KillSignal")]).toEqual(["mixed", "SIGTERM"])
})

test("it writes to its state folder alone, as an account of its own, and data_dir is that folder", () => {
  expect([settingOf("DynamicUser"), settingOf("ProtectSystem"), settingOf("StateDirectory")]).toEqual([
    "yes",
    "strict",
    "tallygate",
  ])
  expect(text).toContain("Environment=TALLYGATE_DATA=/var/lib/tallygate\n")
  expect(text).not.toMatch(/^ReadWritePaths=/m)
})

test("it starts what this repository has", () => {
  expect(settingOf("ExecStart")).toBe(
    `${settingOf("WorkingDirectory")}/node_modules/node/bin/node src/tallygate.mjs serve`,
  )
})

test("systemd's own check finds nothing, and calls it hardened", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "tallygate-unit-"))
  try {
    const unit = path.join(folder, "tallygate.service")
    // What is not installed here stands for itself; everything else is checked as it is.
    const here = text.replaceAll(`${settingOf("WorkingDirectory")}/node_modules/node/bin/node`, process.execPath)
    writeFileSync(unit, here)
    const verified = spawnSync("systemd-analyze", ["verify", unit], { encoding: "utf8" })
    if (verified.error !== undefined) {
      process.stderr.write("tests: no systemd-analyze here; the unit's settings are checked by their names alone\n")
      return
    }
    expect([verified.status, verified.stderr]).toEqual([0, ""])
    const threshold = String(EXPOSURE_MAX * 10)
    execFileSync("systemd-analyze", ["security", "--offline=true", `--threshold=${threshold}`, unit], { stdio: "pipe" })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
