/** What the command does about running from source: the flag that keeps V8 from freeing, and the sources stripped ahead. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { newDir, start } from "./command.ts";
import type { Ran } from "./command.ts";

const ROOT = new URL("../../../..", import.meta.url).pathname;
const RUNTIME = join(ROOT, "packages/relay/bin/runtime.js");

interface Checkout {
  readonly dir: string;
  readonly copies: string;
}

/** A checkout of its own, with the dependencies of this one. */
function checkOut(): Checkout {
  const dir = newDir("millrace-checkout-");
  onTestFinished(() => {
    execFileSync("chmod", ["-R", "u+w", dir]);
    rmSync(dir, { recursive: true });
  });
  cpSync(join(ROOT, "packages"), join(dir, "packages"), { recursive: true, filter: (path) => !/\/(test|dist|node_modules)$/.test(path) });
  cpSync(join(ROOT, "scripts"), join(dir, "scripts"), { recursive: true });
  for (const place of ["node_modules", "packages/relay/node_modules"]) {
    mkdirSync(join(dir, place));
    for (const name of readdirSync(join(ROOT, place)))
      if (name !== "@millrace" && !name.startsWith(".")) symlinkSync(join(ROOT, place, name), join(dir, place, name));
  }
  mkdirSync(join(dir, "node_modules/@millrace"));
  for (const name of ["wire", "policy"]) symlinkSync(`../../packages/${name}`, join(dir, "node_modules/@millrace", name));
  return { dir, copies: join(dir, "node_modules/.cache/millrace") };
}

function strip({ dir }: Checkout): string {
  const ran = spawnSync(process.execPath, ["scripts/strip.js"], { cwd: dir, encoding: "utf8" });
  expect(ran.status).toBe(0);
  return ran.stdout + ran.stderr;
}

/** Every file and directory, with what tells that it was written to. */
function listing({ dir }: Checkout): string[] {
  const paths = readdirSync(dir, { recursive: true, encoding: "utf8" });
  return paths.toSorted().map((path) => {
    const { size, mtimeMs, ctimeMs } = statSync(join(dir, path));
    return `${path} ${size} ${mtimeMs} ${ctimeMs}`;
  });
}

/** Even root is refused to write what has no write permission. */
const WITHOUT_PRIVILEGE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", process.execPath];
const canDropPrivilege = spawnSync("setpriv", [...WITHOUT_PRIVILEGE.slice(1), "--version"]).status === 0;

/** Starts a relay of the checkout, asks it for a stream and ends it. */
async function serveOnce({ dir }: Checkout, file: string): Promise<Ran> {
  const [program = "", ...args] = canDropPrivilege && process.getuid?.() === 0 ? WITHOUT_PRIVILEGE : [process.execPath];
  const key = "sk-0123456789abcdefghijklmnopqrstuvwxyz";
  const port = await freePort();
  const started = start(["serve", "--port", String(port)], {
    program: [program, ...args, join(dir, "packages/relay", file)],
    env: { MILLRACE_KEY: key },
  });
  await started.says("listening on");
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: '{"model":"demo","stream":true,"max_tokens":3,"messages":[{"role":"user","content":"Hello"}]}',
  });
  expect(await answer.text()).toContain("[DONE]");
  started.child.kill("SIGTERM");
  return started.exited;
}

test("a checkout that is read-only starts with its stripped sources and without them, and nothing is written in it", async () => {
  const checkout = checkOut();
  for (const isStripped of [false, true]) {
    if (isStripped) {
      execFileSync("chmod", ["-R", "u+w", checkout.dir]);
      expect(strip(checkout)).toBe("");
      expect(readdirSync(checkout.copies).length).toBeGreaterThan(100);
    }
    execFileSync("chmod", ["-R", "a-w", checkout.dir]);
    const before = listing(checkout);
    expect(await serveOnce(checkout, isStripped ? "src/cli/main.ts" : "bin/millrace.js")).toMatchObject({ code: 0 });
    expect(listing(checkout)).toEqual(before);
  }
});

test("process and threads load a stripped source where there is one, and the source itself once it was edited", async () => {
  const checkout = checkOut();
  strip(checkout);
  const sources = ["packages/relay/src/cli/serve.ts", "packages/relay/src/store/sqlite/writer.ts"].map((file) => join(checkout.dir, file));
  const marks = sources.map((_source, n) => `copy ${n} was loaded`);
  for (const copy of readdirSync(checkout.copies).map((name) => join(checkout.copies, name))) {
    const n = sources.findIndex((source) => readFileSync(source, "utf8").slice(0, 80) === readFileSync(copy, "utf8").slice(0, 80));
    if (n >= 0) writeFileSync(copy, `process.stderr.write("${marks[n]}\\n");\n${readFileSync(copy, "utf8")}`);
  }
  const first = await serveOnce(checkout, "src/cli/main.ts");
  for (const mark of marks) expect(first.err).toContain(mark);
  for (const source of sources) writeFileSync(source, `${readFileSync(source, "utf8")}// edited\n`);
  const { code, err } = await serveOnce(checkout, "bin/millrace.js");
  expect([code, err.includes("was loaded")]).toEqual([0, false]);
});

test("stripping ahead keeps what is unchanged, removes what is gone, and is no failure where it may not write", () => {
  const checkout = checkOut();
  strip(checkout);
  const before = listing(checkout).filter((line) => line.startsWith("node_modules/.cache/millrace/"));
  writeFileSync(join(checkout.copies, "0123.js"), "");
  expect(strip(checkout)).toBe("");
  expect(listing(checkout).filter((line) => line.startsWith("node_modules/.cache/millrace/"))).toEqual(before);
  rmSync(checkout.copies, { recursive: true });
  writeFileSync(checkout.copies, "in the way");
  expect(strip(checkout)).toMatch(/^the sources are not stripped ahead, and the relay will start slower: .*EEXIST/);
});

/** V8's hash of its flags, as a process has it after its start. */
function flagHash(...flags: readonly string[]): string {
  return execFileSync(process.execPath, [...flags, "-p", "v8.cachedDataVersionTag()"], { encoding: "utf8", env: {} });
}

test("a process that runs from source has V8's garbage collection of WebAssembly code off without being given the flag", () => {
  const kept = flagHash("--no-wasm-code-gc");
  expect(flagHash("--import", RUNTIME)).toBe(kept);
  expect(flagHash()).not.toBe(kept);
  expect(process.execArgv).toContain("--no-wasm-code-gc");
});

test("the flag is needed by the Node of this checkout: once it is 26, the flag goes from vitest.config.ts and bin/runtime.js", () => {
  const bundled = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { optionalDependencies: Record<string, string> };
  for (const version of [process.versions.node, ...Object.values(bundled.optionalDependencies)])
    expect(Number.parseInt(version, 10)).toBeLessThan(26);
});
