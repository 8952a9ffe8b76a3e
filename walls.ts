/**
 * The walls of the house: who may import whom. One table, read by the linter (`oxlint.config.ts`), by the test that plants a
 * violation of each wall (`test/house/walls.test.ts`), and by the test that compares it with ARCHITECTURE.md.
 */

/** What a folder of `packages/relay/src` may import. Its own files are always allowed; whatever is not listed is refused. */
export interface Wall {
  /** Other folders of `packages/relay/src`. */
  readonly folders: readonly string[];
  /** Workspace packages, by their public paths. */
  readonly workspace: readonly ("wire" | "policy")[];
  /** Dependencies from the registry. */
  readonly dependencies: readonly string[];
  /** Whether it may import modules of Node (`node:...`). */
  readonly node: boolean;
  /** Files beside the folders that it may import: `main.ts` for the command, none for the others. */
  readonly rootFiles: readonly string[];
}

const BOTH = ["wire", "policy"] as const;
const ALONE: Wall = { folders: [], workspace: BOTH, dependencies: [], node: true, rootFiles: [] };

/** The folders of `packages/relay/src`, each standing only on those above it. */
export const WALLS: Readonly<Record<string, Wall>> = {
  basics: { ...ALONE, workspace: ["wire"] },
  provider: { ...ALONE, folders: ["basics"], node: false },
  prices: { ...ALONE, folders: ["basics"] },
  ledger: { ...ALONE, folders: ["basics"], node: false },
  config: { ...ALONE, folders: ["basics", "provider", "prices"], dependencies: ["yaml", "zod"] },
  upstream: { ...ALONE, folders: ["basics", "config"], dependencies: ["undici"] },
  admission: { ...ALONE, folders: ["basics", "config"] },
  insight: { ...ALONE, folders: ["basics", "provider", "ledger"], dependencies: ["pino"] },
  chat: { ...ALONE, folders: ["basics", "config", "provider", "prices", "ledger", "upstream", "admission", "insight"] },
  edge: { ...ALONE, folders: ["basics", "config", "provider", "ledger", "admission", "insight", "chat"] },
  control: { ...ALONE, folders: ["basics", "config", "prices", "ledger", "admission", "insight"], dependencies: ["fastify", "zod"] },
  store: { ...ALONE, folders: ["basics", "config", "prices", "ledger", "admission", "insight", "control"], dependencies: ["pg"] },
  simulator: { ...ALONE, folders: ["basics", "config"] },
  cli: {
    ...ALONE,
    folders: ["basics", "config", "admission", "control", "store", "simulator"],
    dependencies: ["commander"],
    rootFiles: ["main.ts"],
  },
};

/** The files beside the folders that wire the parts together, and the folders they must not know. Any other file is like `app.ts`. */
export const ROOT_FILES: Readonly<Record<string, { readonly not: readonly string[]; readonly says: string }>> = {
  "app.ts": { not: ["store", "simulator", "cli"], says: "Adapters are wired in main.ts." },
  "main.ts": { not: ["cli"], says: "The command imports main, not the other way round." },
};

/** How many folders deep a file may lie below `packages/relay/src`; the linter needs a rule for each depth. */
export const DEPTH_MAX = 4;

/** What the linter says of each kind of wall. */
export const SAYS = {
  wire: "wire stands on nothing: no node:, no package, no other folder.",
  policy: "policy stands on wire alone.",
  rootFile: "The program's root files are imported by nobody below them.",
  publicPath: "Import a package by its public paths.",
  roundabout: "Write a relative path the short way: first up, then down.",
  clock: "Time and chance are arguments here.",
} as const;

/** What the linter says when `folder` imports another folder that its wall does not list. */
export function mayImport(folder: string): string {
  return `${folder}/ may import from: ${listed(wallOf(folder).folders)} (ARCHITECTURE.md).`;
}

/** What the linter says when `folder` imports a package or a module of Node that its wall does not list. */
export function mayUse(folder: string): string {
  const { workspace, dependencies, node } = wallOf(folder);
  return `${folder}/ may use: ${listed([...workspace, ...(node ? ["node:"] : []), ...dependencies])} (ARCHITECTURE.md).`;
}

/** Every dependency that some folder may import. */
export const DEPENDENCIES: readonly string[] = [...new Set(Object.values(WALLS).flatMap(({ dependencies }) => dependencies))];

function wallOf(folder: string): Wall {
  const wall = WALLS[folder];
  if (wall === undefined) throw new Error(`no wall is written down for ${folder}/`);
  return wall;
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? "nothing" : names.join(", ");
}
