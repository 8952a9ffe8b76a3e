/** A relay of its own process: changed files, SIGHUP to a service, and a terminal that closes. */
import { spawn } from "node:child_process";
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { BIN, newDir, OWN_KEY, start, urlOf } from "../cli/command.ts";
import type { Started } from "../cli/command.ts";
import { call } from "../support/call.ts";
import { freePort } from "../support/free-port.ts";

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

const ENV = { MILLRACE_KEY: OWN_KEY };

async function simulator(text: string): Promise<Simulator> {
  const started = await startSimulator({ scenario: { text } });
  ended.push(() => started.close());
  return started;
}

async function serve(cwd: string, ...args: string[]): Promise<Started> {
  const started = start(["serve", "--port", String(await freePort()), ...args], { cwd, env: ENV });
  ended.push(() => (started.child.kill("SIGKILL"), started.exited));
  await started.says("curl -N");
  return started;
}

/** What answers now. */
async function answered(started: Started, model = "any"): Promise<string> {
  const port = Number(new URL(urlOf(started)).port);
  const answer = await call({ port, key: OWN_KEY }, { body: { model, stream: false, messages: [] } });
  return answer.body;
}

/** Within the second that a reload has, and what a busy machine adds. */
const SOON = { timeout: 5_000, interval: 30 };

const variables = (upstream: Simulator): string => `LAB_BASE_URL=${upstream.url}\nLAB_API_KEY=sk-lab-0123456789abcdef0123456789abcdef\n`;

test("a relay that began with the simulator serves by the key that `.env` gains, and keeps it when the file loses it", async () => {
  const cwd = newDir();
  const started = await serve(cwd);
  expect(await answered(started)).not.toContain("from the lab");
  writeFileSync(join(cwd, ".env"), variables(await simulator("from the lab")));
  await vi.waitFor(async () => expect(await answered(started)).toContain("from the lab"), SOON);
  writeFileSync(join(cwd, ".env"), "# nothing is left\n");
  await vi.waitFor(() => expect(started.err()).toContain("upstreams: No upstream is left."), SOON);
  expect(await answered(started)).toContain("from the lab");
});

test("ACTIVE_PROVIDER and ENABLE_ in `.env` move requests without a restart", async () => {
  const cwd = newDir();
  const [one, two] = [await simulator("from one"), await simulator("from two")];
  const both = `${variables(one)}${variables(two).replaceAll("LAB", "SPARE")}`;
  writeFileSync(join(cwd, ".env"), `${both}ACTIVE_PROVIDER=lab\n`);
  const started = await serve(cwd);
  expect(await answered(started)).toContain("from one");
  writeFileSync(join(cwd, ".env"), `${both}ACTIVE_PROVIDER=spare\n`);
  await vi.waitFor(async () => expect(await answered(started)).toContain("from two"), SOON);
  writeFileSync(join(cwd, ".env"), `${both}ENABLE_SPARE=false\n`);
  await vi.waitFor(async () => expect(await answered(started)).toContain("from one"), SOON);
});

test("a file that is replaced while its relay runs holds, flags still win over it, and SIGHUP loads it again", async () => {
  const cwd = newDir();
  const lab = await simulator("from the lab");
  const file = (upstream: string): string =>
    `listen: 127.0.0.1:1\nupstreams: { ${upstream}: { provider: openai-compatible, base_url: "${lab.url}" } }\nmodels: { any: { upstreams: [{ upstream: ${upstream}, model: any }] } }\n`;
  writeFileSync(join(cwd, "config.yaml"), file("before"));
  const started = await serve(cwd, "--config", "config.yaml");
  writeFileSync(join(cwd, "new.yaml"), file("after"));
  renameSync(join(cwd, "new.yaml"), join(cwd, "config.yaml"));
  await vi.waitFor(() => expect(started.err()).toContain("configuration applied (a file changed): revision 2 holds"), SOON);
  expect(started.err()).not.toContain("only after a restart");
  started.child.kill("SIGHUP");
  await vi.waitFor(() => expect(started.err()).toContain("configuration unchanged (SIGHUP): revision 2 holds"), SOON);
  expect(await answered(started)).toContain("from the lab");
});

test("a SIGHUP that comes while the relay opens its data does not end it, and the files are loaded again once it serves", async () => {
  const cwd = newDir();
  const started = start(["serve", "--port", String(await freePort())], { cwd, env: ENV });
  ended.push(() => (started.child.kill("SIGKILL"), started.exited));
  await vi.waitFor(() => expect(existsSync(join(cwd, "data/lock"))).toBe(true), { timeout: 5_000, interval: 1 });
  started.child.kill("SIGHUP");
  await started.says("curl -N");
  await vi.waitFor(() => expect(started.err()).toContain("configuration unchanged (SIGHUP)"), SOON);
});

/** Runs a command in a terminal of its own, which closes on a line of standard input; tells then how the command ended. */
const IN_TERMINAL = `
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
while b"curl -N" not in said:
    said += os.read(terminal, 4096)
print("serves", flush=True)
sys.stdin.readline()
os.close(terminal)
print("ended", os.waitpid(child, 0)[1], flush=True)
`;

test("a relay in a terminal ends in order when the terminal closes", async () => {
  const cwd = newDir();
  const args = ["-c", IN_TERMINAL, process.execPath, BIN, "serve", "--port", String(await freePort())];
  const terminal = spawn("python3", args, { cwd, env: { PATH: process.env["PATH"], ...ENV }, stdio: ["pipe", "pipe", "inherit"] });
  ended.push(async () => terminal.kill("SIGKILL"));
  let said = "";
  terminal.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
  await vi.waitFor(() => expect(said).toContain("serves"), { timeout: 15_000 });
  terminal.stdin.write("close\n");
  await vi.waitFor(() => expect(said).toContain("ended 0"), { timeout: 10_000 });
});
