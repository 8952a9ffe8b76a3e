/** Each wall of the lint rules, seen to stand: a planted violation is reported in the wall's own words. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

interface Planted {
  /** The claim, as a title. */
  readonly claim: string;
  readonly file: string;
  readonly source: string;
  /** What the linter must say of it; null: nothing. */
  readonly says: string | null;
}

const relay = "packages/relay/src";
const thing = "export const thing = 1;\n";

function importing(from: string): string {
  return `import { thing } from "${from}";\nexport const other = thing;\n`;
}

function mayImport(folder: string, what: string): string {
  return `${folder}/ may import from: ${what} (ARCHITECTURE.md).`;
}

const WIRE_SAYS = "wire stands on nothing: no node:, no packages, no other folder.";
const ROOT_SAYS = "The program's root files are imported by nobody below them.";

const WALLS: readonly Planted[] = [
  { claim: "wire imports no node: module", file: "packages/wire/src/a.ts", source: importing("node:fs"), says: WIRE_SAYS },
  { claim: "wire imports no other folder", file: "packages/wire/src/b.ts", source: importing("../x.ts"), says: WIRE_SAYS },
  { claim: "wire imports no package", file: "packages/wire/src/c.ts", source: importing("zod"), says: "wire has no dependencies." },
  {
    claim: "wire uses no timer",
    file: "packages/wire/src/d.ts",
    source: "export const timer = setTimeout;\n",
    says: "Unexpected use of 'setTimeout'",
  },
  {
    claim: "wire reads no clock",
    file: "packages/wire/src/e.ts",
    source: "export const now = (): number => Date.now();\n",
    says: "Unexpected use of 'Date'",
  },
  {
    claim: "policy imports no node: module",
    file: "packages/policy/src/a.ts",
    source: importing("node:fs"),
    says: "policy stands on wire alone.",
  },
  { claim: "policy imports no package", file: "packages/policy/src/b.ts", source: importing("zod"), says: "policy stands on wire alone." },
  {
    claim: "policy calls nobody",
    file: "packages/policy/src/c.ts",
    source: "export const call = fetch;\n",
    says: "Unexpected use of 'fetch'",
  },
  {
    claim: "policy reads no clock",
    file: "packages/policy/src/d.ts",
    source: "export const now = (): number => performance.now();\n",
    says: "Unexpected use of 'performance'",
  },
  {
    claim: "config does not know the hot path",
    file: `${relay}/config/a.ts`,
    source: importing("../chat/x.ts"),
    says: mayImport("config", "provider, ledger"),
  },
  {
    claim: "provider does not know the hot path",
    file: `${relay}/provider/a.ts`,
    source: importing("../chat/x.ts"),
    says: mayImport("provider", "config"),
  },
  {
    claim: "upstream does not know dialects",
    file: `${relay}/upstream/a.ts`,
    source: importing("../provider/x.ts"),
    says: mayImport("upstream", "config"),
  },
  {
    claim: "admission does not know the store",
    file: `${relay}/admission/a.ts`,
    source: importing("../store/x.ts"),
    says: mayImport("admission", "config"),
  },
  {
    claim: "insight does not know the store",
    file: `${relay}/insight/a.ts`,
    source: importing("../store/x.ts"),
    says: mayImport("insight", "provider, ledger"),
  },
  {
    claim: "the hot path does not know the store",
    file: `${relay}/chat/a.ts`,
    source: importing("../store/x.ts"),
    says: mayImport("chat", "admission, upstream, provider, insight, config, ledger"),
  },
  {
    claim: "the hot path does not know HTTP",
    file: `${relay}/chat/b.ts`,
    source: importing("../edge/x.ts"),
    says: mayImport("chat", "admission, upstream, provider, insight, config, ledger"),
  },
  {
    claim: "edge does not know the store",
    file: `${relay}/edge/a.ts`,
    source: importing("../store/x.ts"),
    says: mayImport("edge", "chat, admission, config, insight, provider, ledger"),
  },
  {
    claim: "edge does not dial",
    file: `${relay}/edge/b.ts`,
    source: importing("../upstream/x.ts"),
    says: mayImport("edge", "chat, admission, config, insight, provider, ledger"),
  },
  {
    claim: "control does not know the hot path",
    file: `${relay}/control/a.ts`,
    source: importing("../chat/x.ts"),
    says: mayImport("control", "config, admission, insight, ledger"),
  },
  {
    claim: "store does not know the edge",
    file: `${relay}/store/a.ts`,
    source: importing("../edge/x.ts"),
    says: mayImport("store", "config, admission, control, insight, ledger"),
  },
  {
    claim: "the ledger knows nothing of the store",
    file: `${relay}/ledger/a.ts`,
    source: importing("../store/x.ts"),
    says: mayImport("ledger", "wire and policy only"),
  },
  {
    claim: "the simulator knows nothing of the relay",
    file: `${relay}/simulator/a.ts`,
    source: importing("../chat/x.ts"),
    says: mayImport("simulator", "config"),
  },
  {
    claim: "cli does not know the hot path",
    file: `${relay}/cli/a.ts`,
    source: importing("../chat/x.ts"),
    says: mayImport("cli", "config, control, store, admission, simulator, ledger"),
  },
  { claim: "a folder does not import app.ts", file: `${relay}/edge/c.ts`, source: importing("../app.ts"), says: ROOT_SAYS },
  { claim: "a folder does not import main.ts", file: `${relay}/control/b.ts`, source: importing("../main.ts"), says: ROOT_SAYS },
  { claim: "cli does not import app.ts", file: `${relay}/cli/b.ts`, source: importing("../app.ts"), says: ROOT_SAYS },
  {
    claim: "a package is imported by its public paths",
    file: `${relay}/chat/c.ts`,
    source: importing("@millrace/wire/src/sse.ts"),
    says: "Import a package by its public paths.",
  },
  {
    claim: "app.ts does not know the store",
    file: `${relay}/app.ts`,
    source: importing("./store/x.ts"),
    says: "Adapters are wired in main.ts.",
  },
  {
    claim: "first-key.ts does not know the store",
    file: `${relay}/first-key.ts`,
    source: importing("./store/x.ts"),
    says: "Adapters are wired in main.ts.",
  },
  {
    claim: "main.ts does not know the command",
    file: `${relay}/main.ts`,
    source: importing("./cli/x.ts"),
    says: "The command imports main, not the other way round.",
  },
  {
    claim: "imports do not go round",
    file: `${relay}/upstream/round.ts`,
    source: 'import { there } from "./trip.ts";\nexport const here = (): number => there();\n',
    says: "Dependency cycle detected",
  },
  {
    claim: "no promise is left to itself",
    file: `${relay}/upstream/floating.ts`,
    source: "async function act(): Promise<void> {\n  await Promise.resolve();\n}\nexport function start(): void {\n  act();\n}\n",
    says: "Promises must be awaited",
  },
  {
    claim: "a switch names every case",
    file: `${relay}/upstream/switch.ts`,
    source:
      'export function price(size: "small" | "large"): number {\n  let price = 0;\n  switch (size) {\n    case "small":\n      price = 1;\n  }\n  return price;\n}\n',
    says: "Switch is not exhaustive",
  },
  { claim: "nothing is evaluated", file: `${relay}/config/b.ts`, source: 'export const two: unknown = eval("1 + 1");\n', says: "eval" },
];

/** What the violations import, and files that break no rule. */
const CLEAN: readonly Planted[] = [
  { claim: "wire may use itself", file: "packages/wire/src/clean.ts", source: importing("./x.ts"), says: null },
  { claim: "policy may use wire", file: "packages/policy/src/clean.ts", source: importing("@millrace/wire/x"), says: null },
  { claim: "provider may use config", file: `${relay}/provider/clean.ts`, source: importing("../config/x.ts"), says: null },
  { claim: "the hot path may dial", file: `${relay}/chat/clean.ts`, source: importing("../upstream/x.ts"), says: null },
  { claim: "edge may use the hot path", file: `${relay}/edge/clean.ts`, source: importing("../chat/x.ts"), says: null },
  { claim: "store may know the row", file: `${relay}/store/clean.ts`, source: importing("../insight/x.ts"), says: null },
  {
    claim: "cli may import main.ts",
    file: `${relay}/cli/clean.ts`,
    source: 'import { other } from "../main.ts";\nexport const again = other;\n',
    says: null,
  },
];

const folders = ["config", "provider", "upstream", "admission", "insight", "chat", "edge", "control", "store", "simulator", "cli"];
const FILLING: readonly (readonly [file: string, source: string])[] = [
  ["packages/wire/src/x.ts", thing],
  ["packages/wire/package.json", '{"name":"@millrace/wire","version":"0.0.0","type":"module","exports":{"./*":"./src/*.ts"}}\n'],
  ...folders.map((folder) => [`${relay}/${folder}/x.ts`, thing] as const),
  [`${relay}/upstream/trip.ts`, 'import { here } from "./round.ts";\nexport const there = (): number => here();\n'],
  [
    "tsconfig.json",
    '{"compilerOptions":{"strict":true,"module":"nodenext","noEmit":true,"allowImportingTsExtensions":true,"types":[]},"include":["packages"]}\n',
  ],
];

interface Diagnostic {
  readonly message: string;
  readonly help?: string;
  readonly filename: string;
}

let directory: string;
const said = new Map<string, string>();

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "millrace-walls-"));
  copyFileSync(join(root, ".oxlintrc.json"), join(directory, ".oxlintrc.json"));
  mkdirSync(join(directory, "node_modules"));
  for (const name of ["oxlint", "oxlint-tsgolint"]) symlinkSync(join(root, "node_modules", name), join(directory, "node_modules", name));
  for (const [file, source] of [...FILLING, ...[...WALLS, ...CLEAN].map(({ file, source }) => [file, source] as const)]) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), source);
  }
  const run = spawnSync(join(root, "node_modules/.bin/oxlint"), ["--type-aware", "--format=json"], {
    cwd: directory,
    encoding: "utf8",
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"]}` },
  });
  const { diagnostics } = JSON.parse(run.stdout) as { diagnostics: Diagnostic[] };
  for (const { filename, message, help } of diagnostics) said.set(filename, `${said.get(filename) ?? ""}${message} ${help ?? ""}\n`);
}, 60_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("the linter reports that", () => {
  test.each(WALLS)("$claim", ({ file, says }) => {
    expect(said.get(file) ?? "nothing was said").toContain(says);
  });
});

describe("the linter allows that", () => {
  test.each(CLEAN)("$claim", ({ file }) => {
    expect(said.get(file)).toBeUndefined();
  });
});

test("no wall of the rules is without a planted violation", async () => {
  const { readFileSync } = await import("node:fs");
  const rules = readFileSync(join(root, ".oxlintrc.json"), "utf8");
  const messages = new Set([...rules.matchAll(/"message": "([^"]+)"/g)].map((match) => match[1]));
  expect([...messages].filter((message) => !WALLS.some(({ says }) => says === message))).toEqual([]);
});
