import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { BIN, newDir, OWN_KEY, run, start, urlOf } from "./command.ts";
import type { Started } from "./command.ts";

const OLD_NODE = "/usr/bin/node";

const running: Started[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) {
    if (each.child.exitCode === null) each.child.kill("SIGKILL");
    await each.exited;
  }
});

async function serve(args: readonly string[], settings: Parameters<typeof start>[1] = {}): Promise<Started> {
  const started = start(["serve", "--port", String(await freePort()), ...args], settings);
  running.push(started);
  await started.says("listening on");
  await started.says("curl -N");
  return started;
}

/** Runs the printed command in a shell, as somebody who pastes it. */
async function paste(started: Started, cwd: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const line =
    started
      .out()
      .split("\n")
      .find((each) => each.includes("curl -N")) ?? "";
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", line], { cwd, env: { PATH: process.env["PATH"], ...env } });
  return stdout;
}

test("the start lines say what serves, where the data lies and what to try", async () => {
  const cwd = newDir();
  const started = await serve([], { cwd });
  expect(urlOf(started)).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(started.out()).toContain("no provider key is set: the built-in simulator answers as upstream demo\n");
  expect(started.out()).toContain("data in ./data\n");
  expect(started.out()).not.toMatch(/sk-mr-\w/);
  expect((await fetch(`${urlOf(started)}/readyz`)).status).toBe(200);
  expect(existsSync(join(cwd, "data/first-key"))).toBe(true);
});

test("the printed curl works as pasted, with the key from its file", async () => {
  const cwd = newDir();
  const started = await serve([], { cwd });
  const text = await paste(started, cwd);
  expect(text).toContain("data: {");
  expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true);
  // The simulator's cost is known to be nothing, so its requests are not marked as unpriced.
  await expect.poll(() => started.err()).toContain('"end_reason":"complete"');
  expect(started.err()).not.toContain("unpriced");
});

test("the printed curl works as pasted with MILLRACE_KEY, which it does not print", async () => {
  const cwd = newDir();
  const started = await serve([], { cwd, env: { MILLRACE_KEY: OWN_KEY } });
  expect(started.out()).not.toContain(OWN_KEY);
  expect((await paste(started, cwd, { MILLRACE_KEY: OWN_KEY })).trimEnd().endsWith("data: [DONE]")).toBe(true);
});

test("a signal of the terminal, which reaches a whole group of processes, counts once when an old Node started it", async () => {
  const program: [string, ...string[]] = existsSync(OLD_NODE) ? [OLD_NODE, BIN] : [process.execPath, BIN];
  const cwd = newDir();
  const started = await serve([], { cwd, program, isGroup: true });
  const pasted = paste(started, cwd).catch((error: { stdout?: string }) => error.stdout ?? "");
  await new Promise((resolve) => setTimeout(resolve, 400));
  process.kill(-(started.child.pid ?? 0), "SIGINT");
  expect((await started.exited).code).toBe(0);
  expect((await pasted).trimEnd().endsWith("data: [DONE]")).toBe(true);
});

test("a data directory with a space, a quote and a dollar in its path does no harm to the printed curl", async () => {
  for (const name of ["my data", "it's $HOME"]) {
    const cwd = newDir();
    mkdirSync(join(cwd, name));
    const started = await serve(["--data", `./${name}`], { cwd });
    expect((await paste(started, cwd)).trimEnd().endsWith("data: [DONE]")).toBe(true);
  }
});

test("a port in use ends the start with one line and 1", async () => {
  const first = await serve([]);
  const port = new URL(urlOf(first)).port;
  const second = await run(["serve", "--port", port]);
  expect(second).toEqual({
    code: 1,
    out: "",
    err: `millrace: port ${port} on 127.0.0.1 is in use: stop what listens there, or choose another with --port\n`,
  });
});

test("a data directory in use ends the start with one line and 1", async () => {
  const cwd = newDir();
  await serve([], { cwd });
  const second = await run(["serve", "--port", String(await freePort())], { cwd });
  expect(second).toMatchObject({ code: 1, out: "" });
  expect(second.err).toMatch(/^millrace: another process uses .*: stop it, or choose another directory with --data\n$/);
});

test("a first-key file without a key ends the start with one line and 1", async () => {
  const cwd = newDir();
  mkdirSync(join(cwd, "data"));
  writeFileSync(join(cwd, "data/first-key"), "garbage\n");
  const ran = await run(["serve", "--port", String(await freePort())], { cwd });
  expect(ran).toMatchObject({ code: 1, out: "" });
  expect(ran.err).toMatch(/^millrace: .*first-key does not hold a key: delete it, and the next start makes a new one\n$/);
});

test("a data directory that cannot be made, or a host that is none, ends the start with one line and 1", async () => {
  const cwd = newDir();
  writeFileSync(join(cwd, "file"), "");
  const port = String(await freePort());
  for (const [args, word] of [
    [["--data", "file"], "--data"],
    [["--data", "file/below"], "--data"],
    [["--host", "192.0.2.1"], "--host"],
  ] as const) {
    const ran = await run(["serve", "--port", port, ...args], { cwd });
    expect(ran).toMatchObject({ code: 1, out: "" });
    expect(ran.err).toMatch(new RegExp(`^millrace: .*: choose another with ${word}\\n$`));
  }
});

test("a bad configuration ends the start with all its mistakes and 1", async () => {
  const cwd = newDir();
  writeFileSync(
    join(cwd, "bad.yaml"),
    "upstreams:\n  a: { provider: nonsense }\nmodels:\n  m: { upstreams: [ { upstream: b } ] }\nlisten: nowhere:port\n",
  );
  const ran = await run(["serve", "--config", "bad.yaml"], { cwd, env: { MILLRACE_KEY: "short", MILLRACE_LOG_LEVEL: "loud" } });
  expect(ran).toMatchObject({ code: 1, out: "" });
  for (const place of ["MILLRACE_KEY", "MILLRACE_LOG_LEVEL", "bad.yaml:2", "bad.yaml:4", "bad.yaml:5"]) expect(ran.err).toContain(place);
  expect(ran.err).not.toContain("short");
  expect(existsSync(join(cwd, "data"))).toBe(false);
});

test.each(["SIGTERM", "SIGINT"] as const)("%s ends a relay at rest with 0", async (signal) => {
  const started = await serve([]);
  started.child.kill(signal);
  expect((await started.exited).code).toBe(0);
});

test("a stream under way is finished after SIGTERM; a second signal ends the wait", async () => {
  const cwd = newDir();
  for (const isHurried of [false, true]) {
    const started = await serve([], { cwd });
    const pasted = paste(started, cwd).catch((error: { stdout?: string }) => error.stdout ?? "");
    await new Promise((resolve) => setTimeout(resolve, 250));
    const startedAt = performance.now();
    started.child.kill("SIGTERM");
    if (isHurried) setTimeout(() => started.child.kill("SIGTERM"), 50);
    expect((await started.exited).code).toBe(0);
    const text = await pasted;
    expect(text).toContain("data: ");
    expect(text.includes("[DONE]")).toBe(!isHurried);
    if (isHurried) {
      expect(text).toContain('"code":"relay_stopped"');
      expect(performance.now() - startedAt).toBeLessThan(3_500);
    }
  }
});

test("called by an old Node, the command runs on the bundled one, signals and exit codes included", async () => {
  const program: [string, ...string[]] = existsSync(OLD_NODE) ? [OLD_NODE, BIN] : [process.execPath, BIN];
  expect(await run(["--version"], { program })).toMatchObject({ code: 0, out: "0.1.0\n" });
  expect((await run(["nonsense"], { program })).code).toBe(2);
  const started = await serve([], { program });
  started.child.kill("SIGTERM");
  expect((await started.exited).code).toBe(0);
});
