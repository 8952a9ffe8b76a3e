/** Each wall of `walls.ts`, seen to stand: the linter reports a planted violation in the wall's own words, and nothing else. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEPENDENCIES, DEPTH_MAX, mayImport, mayUse, ROOT_FILES, SAYS, WALLS } from "../../walls.ts";
import { filesBelow, quoted, root, section, tableRows, textOf } from "./checkout.ts";

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
const folders = Object.keys(WALLS);

function importing(from: string): string {
  return `import { thing } from "${from}";\nexport const other = thing;\n`;
}

/** The ways to import something, of which each planted file takes another. */
const FORMS: readonly ((from: string) => string)[] = [
  importing,
  (from) => `import type { Thing } from "${from}";\nexport type Other = Thing;\n`,
  (from) => `export { thing } from "${from}";\n`,
  (from) => `export const other: Promise<unknown> = import("${from}");\n`,
];

/** Every pair of folders, at every depth that a file may have: refused where the wall does not list the other. */
const PAIRS: readonly Planted[] = folders.flatMap((folder, row) =>
  folders
    .filter((other) => other !== folder)
    .flatMap((other, column) =>
      Array.from({ length: DEPTH_MAX }, (_, index) => index + 1).map((depth) => {
        const isAllowed = WALLS[folder]?.folders.includes(other) === true;
        return {
          claim: `${folder} ${isAllowed ? "may import" : "does not import"} ${other}, ${depth} deep`,
          file: `${relay}/${folder}/${"room/".repeat(depth - 1)}to-${other}.ts`,
          source: FORMS[(row + column + depth) % FORMS.length]?.(`${"../".repeat(depth)}${other}/x.ts`) ?? "",
          says: isAllowed ? null : mayImport(folder),
        };
      }),
    ),
);

/** Every folder with every package, every module of Node and every file beside the folders. */
const OTHERS: readonly Planted[] = Object.entries(WALLS).flatMap(([folder, wall]) => {
  const used = [
    ...["wire", "policy"].map((name) => [`@millrace/${name}/x`, wall.workspace.some((allowed) => allowed === name)] as const),
    ...DEPENDENCIES.map((name) => [name, wall.dependencies.includes(name)] as const),
    ["node:fs", wall.node] as const,
  ];
  return [
    ...used.map(([from, isAllowed]) => ({
      claim: `${folder} ${isAllowed ? "may use" : "does not use"} ${from}`,
      file: `${relay}/${folder}/use-${from.replaceAll(/\W+/g, "-")}.ts`,
      source: importing(from),
      says: isAllowed ? null : mayUse(folder),
    })),
    ...["app.ts", "main.ts", "first-key.ts"].map((file) => ({
      claim: `${folder} ${wall.rootFiles.includes(file) ? "may import" : "does not import"} ${file}`,
      file: `${relay}/${folder}/room/root-${file}`,
      source: `import { thing } from "../../${file}";\nexport const mine = thing;\n`,
      says: wall.rootFiles.includes(file) ? null : SAYS.rootFile,
    })),
    {
      claim: `${folder} imports a package by its public paths`,
      file: `${relay}/${folder}/private.ts`,
      source: importing("@millrace/wire/src/sse.ts"),
      says: SAYS.publicPath,
    },
    {
      claim: `${folder} does not climb into another package`,
      file: `${relay}/${folder}/climb.ts`,
      source: importing("../../../wire/src/x.ts"),
      says: SAYS.publicPath,
    },
    {
      claim: `${folder} does not go round its wall`,
      file: `${relay}/${folder}/round.ts`,
      source: importing("./room/../../cli/x.ts"),
      says: SAYS.roundabout,
    },
  ];
});

const ROOTS: readonly Planted[] = ["app.ts", "first-key.ts", "main.ts"].flatMap((file) => {
  const wall = ROOT_FILES[file] ?? ROOT_FILES["app.ts"];
  const refused = wall?.not ?? [];
  const one = (names: readonly string[], stem: string): Planted => ({
    claim: `${file} ${stem === "bad" ? "does not import" : "may import"} ${names.join(", ")}`,
    file: `${relay}/${stem === "bad" ? file : `clean-${file}`}`,
    source: `${names.map((name, index) => `import { thing as t${index} } from "./${name}/x.ts";`).join("\n")}\nexport const thing = [${names.map((_, index) => `t${index}`).join(", ")}];\n`,
    says: stem === "bad" ? (wall?.says ?? "") : null,
  });
  const clean =
    file === "main.ts"
      ? []
      : [
          one(
            folders.filter((name) => !refused.includes(name)),
            "good",
          ),
        ];
  return [one(refused, "bad"), ...clean];
});

const PURE: readonly Planted[] = [
  { claim: "wire imports no node: module", file: "packages/wire/src/a.ts", source: importing("node:fs"), says: SAYS.wire },
  { claim: "wire imports no other folder", file: "packages/wire/src/b.ts", source: importing("../x.ts"), says: SAYS.wire },
  { claim: "wire imports no package", file: "packages/wire/src/c.ts", source: importing("zod"), says: SAYS.wire },
  { claim: "wire does not import policy", file: "packages/wire/src/p.ts", source: importing("@millrace/policy/x"), says: SAYS.wire },
  { claim: "policy imports no node: module", file: "packages/policy/src/a.ts", source: importing("node:fs"), says: SAYS.policy },
  { claim: "policy imports no package", file: "packages/policy/src/b.ts", source: importing("zod"), says: SAYS.policy },
  { claim: "policy imports no other folder", file: "packages/policy/src/c.ts", source: importing("../x.ts"), says: SAYS.policy },
  { claim: "wire may use itself", file: "packages/wire/src/clean.ts", source: importing("./x.ts"), says: null },
  { claim: "policy may use wire", file: "packages/policy/src/clean.ts", source: importing("@millrace/wire/x"), says: null },
  ...["wire", "policy"].flatMap((name) => [
    ...["setTimeout", "setInterval", "fetch", "performance", "process", "crypto", "Buffer"].map((what) => ({
      claim: `${name} does not use ${what}`,
      file: `packages/${name}/src/uses-${what}.ts`,
      source: `export const used: unknown = ${what};\n`,
      says: `Unexpected use of '${what}'`,
    })),
    {
      claim: `${name} draws no random number`,
      file: `packages/${name}/src/random.ts`,
      source: "export const drawn = (): number => Math.random();\n",
      says: SAYS.clock,
    },
    {
      claim: `${name} reads no clock`,
      file: `packages/${name}/src/clock.ts`,
      source: "export const now = (): number => Date.now();\n",
      says: name === "wire" ? "Unexpected use of 'Date'" : SAYS.clock,
    },
  ]),
  {
    claim: "policy may compute with dates",
    file: "packages/policy/src/dates.ts",
    source: "export const text = (ms: number): string => new Date(ms).toISOString();\n",
    says: null,
  },
];

const RULES: readonly Planted[] = [
  {
    claim: "imports do not go round",
    file: `${relay}/upstream/circle.ts`,
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

const PLANTED = [...PAIRS, ...OTHERS, ...ROOTS, ...PURE, ...RULES];

/** What the planted files import. */
const FILLING: readonly (readonly [file: string, source: string])[] = [
  ...["wire", "policy"].flatMap((name) => [
    [`packages/${name}/src/x.ts`, thing] as const,
    [
      `packages/${name}/package.json`,
      `{"name":"@millrace/${name}","version":"0.0.0","type":"module","exports":{"./*":"./src/*.ts"}}\n`,
    ] as const,
  ]),
  ...folders.map((folder) => [`${relay}/${folder}/x.ts`, thing] as const),
  [`${relay}/upstream/trip.ts`, 'import { here } from "./circle.ts";\nexport const there = (): number => here();\n'],
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
  for (const file of ["oxlint.config.ts", "walls.ts"]) copyFileSync(join(root, file), join(directory, file));
  mkdirSync(join(directory, "node_modules"));
  for (const name of ["oxlint", "oxlint-tsgolint"]) symlinkSync(join(root, "node_modules", name), join(directory, "node_modules", name));
  for (const [file, source] of [...FILLING, ...PLANTED.map(({ file, source }) => [file, source] as const)]) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), source);
  }
  const run = spawnSync(join(root, "node_modules/.bin/oxlint"), ["--type-aware", "--format=json"], {
    cwd: directory,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"]}` },
  });
  const { diagnostics } = JSON.parse(run.stdout) as { diagnostics: Diagnostic[] };
  for (const { filename, message, help } of diagnostics) said.set(filename, `${said.get(filename) ?? ""}${message} ${help ?? ""}\n`);
}, 60_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What the linter should have said of the planted files and did not, or should not have said and did. */
function misjudged(planted: readonly Planted[]): string[] {
  return planted.flatMap(({ claim, file, says }) => {
    const heard = said.get(file);
    const isRight = says === null ? heard === undefined : heard?.includes(says) === true;
    return isRight ? [] : [`${claim} (${file}): ${heard ?? "nothing was said"}`];
  });
}

describe("the linter reports each forbidden import, and allows each other one, of", () => {
  const ofFolder = (folder: string): readonly Planted[] =>
    [...PAIRS, ...OTHERS].filter(({ file }) => file.startsWith(`${relay}/${folder}/`));

  test.each(folders)("%s", (folder) => {
    const planted = ofFolder(folder);
    expect(planted.length).toBeGreaterThan(DEPTH_MAX * (folders.length - 1));
    expect(misjudged(planted)).toEqual([]);
  });

  test("the files beside the folders", () => expect(misjudged(ROOTS)).toEqual([]));
});

describe("the linter sees that", () => {
  test.each([...PURE, ...RULES])("$claim", (planted) => expect(misjudged([planted])).toEqual([]));
});

describe("the table of walls", () => {
  const sources = filesBelow("packages/relay/src");

  test("has a row for each folder, and no other", () => {
    const found = new Set(sources.map((path) => path.split("/")).flatMap((parts) => (parts.length > 4 ? [parts[3] ?? ""] : [])));
    expect(found).toEqual(new Set(folders));
  });

  test("reaches down to every file", () => {
    expect(sources.filter((path) => path.endsWith(".ts") && path.split("/").length > DEPTH_MAX + 4)).toEqual([]);
  });

  test("names every dependency of the relay", () => {
    const { dependencies } = JSON.parse(textOf("packages/relay/package.json")) as { dependencies: Record<string, string> };
    const registered = Object.keys(dependencies).filter((name) => !name.startsWith("@millrace/"));
    expect(registered.toSorted()).toEqual(DEPENDENCIES.toSorted());
  });

  test("lets no two folders import each other", () => {
    const mutual = folders.filter((folder) => WALLS[folder]?.folders.some((other) => WALLS[other]?.folders.includes(folder)));
    expect(mutual).toEqual([]);
  });

  test("is the one in ARCHITECTURE.md", () => {
    const rows = tableRows(section(textOf("ARCHITECTURE.md"), "## Who may import whom"));
    const told = rows.map((cells) => cells.map(quoted));
    const meant = Object.entries(WALLS).map(([folder, wall]) => [
      [folder],
      [...wall.folders, ...wall.rootFiles],
      [...wall.workspace, ...(wall.node ? ["node:"] : []), ...wall.dependencies],
    ]);
    expect(told.filter(([name]) => folders.includes(name?.[0] ?? ""))).toEqual(meant);
  });
});
