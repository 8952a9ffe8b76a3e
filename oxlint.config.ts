/** The linter's rules. The walls are generated from `walls.ts`: one override for each folder and depth. */
import { DEPENDENCIES, DEPTH_MAX, mayImport, mayUse, ROOT_FILES, SAYS, WALLS, type Wall } from "./walls.ts";

/** An import that is refused: by a pattern of its path. The linter's regular expressions know no lookaround. */
interface Refused {
  readonly regex?: string;
  readonly group?: readonly string[];
  readonly message: string;
}

type Rule = string | readonly unknown[];

interface Override {
  readonly files: readonly string[];
  readonly rules: Readonly<Record<string, Rule>>;
}

const SRC = "packages/relay/src";
const PRIVATE_PATH: Refused = { regex: "^@millrace/[^/]+/(src|dist)(/|$)", message: SAYS.publicPath };
const ROUNDABOUT: Refused = { regex: "(^|/)\\./\\.\\./|[^./][^/]*/\\.\\.?/", message: SAYS.roundabout };
const ACTING = ["fetch", "setTimeout", "setInterval", "setImmediate", "queueMicrotask", "performance", "process", "crypto", "Buffer"];

function refusing(patterns: readonly Refused[]): Rule {
  return ["error", { patterns }];
}

function oneOf(names: readonly string[]): string {
  return `(${names.map((name) => name.replaceAll(".", "\\.")).join("|")})`;
}

/** Refuses the imports that `leads` to any of `names`; nothing where there are none. */
function refused(leads: string, names: readonly string[], message: string): Refused[] {
  return names.length === 0 ? [] : [{ regex: `^${leads}${oneOf(names)}(/|$)`, message }];
}

/** Refuses what climbs `depth` folders up and then names a file beside the folders, but for those that the wall allows. */
function rootFilesRefused(up: string, { rootFiles }: Wall): Refused {
  return { group: [`${up}*.ts`, ...rootFiles.map((file) => `!${up}${file}`)], message: SAYS.rootFile };
}

function packagesRefused(folder: string, wall: Wall): Refused[] {
  const workspace = ["wire", "policy"].filter((name) => !wall.workspace.some((allowed) => allowed === name));
  const dependencies = DEPENDENCIES.filter((name) => !wall.dependencies.includes(name));
  return [
    ...refused("@millrace/", workspace, mayUse(folder)),
    ...refused("", dependencies, mayUse(folder)),
    ...(wall.node ? [] : [{ regex: "^node:", message: mayUse(folder) }]),
  ];
}

/** The rules for files that lie `depth` folders below `packages/relay/src`. */
function wallAt(depth: number, folder: string, wall: Wall): Override {
  const up = "../".repeat(depth);
  const others = Object.keys(WALLS).filter((name) => name !== folder && !wall.folders.includes(name));
  return {
    files: [`${SRC}/${folder}/${"*/".repeat(depth - 1)}*.ts`],
    rules: {
      "no-restricted-imports": refusing([
        ...refused(`(\\.\\./){${depth}}`, others, mayImport(folder)),
        rootFilesRefused(up, wall),
        { regex: `^(\\.\\./){${depth + 1}}`, message: SAYS.publicPath },
        PRIVATE_PATH,
        ROUNDABOUT,
        ...packagesRefused(folder, wall),
      ]),
    },
  };
}

function wallsOfFolders(): Override[] {
  const depths = Array.from({ length: DEPTH_MAX }, (_, index) => index + 1);
  return Object.entries(WALLS).flatMap(([folder, wall]) => depths.map((depth) => wallAt(depth, folder, wall)));
}

/** `app.ts` stands for every file beside the folders that has no row of its own. */
function wallsOfRootFiles(): Override[] {
  return Object.entries(ROOT_FILES).map(([file, { not, says }]) => ({
    files: [`${SRC}/${file === "app.ts" ? "*.ts" : file}`],
    rules: {
      "no-restricted-imports": refusing([...refused("\\./", not, says), { regex: "^\\.\\./", message: SAYS.publicPath }, PRIVATE_PATH]),
    },
  }));
}

const WALLS_OF_PACKAGES: readonly Override[] = [
  {
    files: ["packages/wire/src/**"],
    rules: {
      "no-restricted-imports": refusing([{ group: ["*", "!./*"], message: SAYS.wire }]),
      "no-restricted-globals": ["error", ...ACTING, "Date"],
      "no-restricted-properties": ["error", { object: "Math", property: "random", message: SAYS.clock }],
    },
  },
  {
    files: ["packages/policy/src/**"],
    rules: {
      "no-restricted-imports": refusing([{ group: ["*", "!./*", "!@millrace/wire/*"], message: SAYS.policy }, PRIVATE_PATH]),
      "no-restricted-globals": ["error", ...ACTING],
      // The calendar is computed with `Date`, so the global stays; `npm run check` also refuses `new Date()`.
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: SAYS.clock },
        { object: "Math", property: "random", message: SAYS.clock },
      ],
    },
  },
];

export default {
  plugins: ["typescript", "import", "unicorn", "promise", "oxc"],
  categories: { correctness: "error" },
  options: { typeAware: true },
  rules: {
    "import/no-cycle": "error",
    "no-eval": "error",
    "no-new-func": "error",
    "no-implied-eval": "error",
    "no-var": "error",
    "prefer-const": "error",
    eqeqeq: ["error", "always", { null: "ignore" }],
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    "typescript/await-thenable": "error",
    "typescript/no-explicit-any": "error",
    "typescript/consistent-type-imports": "error",
    "typescript/no-unnecessary-type-assertion": "error",
    "typescript/only-throw-error": "error",
    "typescript/unbound-method": "off",
    "no-empty": "error",
    "no-unused-vars": "error",
    "typescript/no-misused-spread": "off",
  },
  ignorePatterns: ["node_modules", "dist", "**/dist/**", "data", "fixtures"],
  overrides: [
    ...WALLS_OF_PACKAGES,
    ...wallsOfFolders(),
    ...wallsOfRootFiles(),
    {
      files: ["packages/*/test/**", "test/**", "bench/**", "chaos/**", "scripts/**"],
      rules: { "no-console": "off", "no-await-in-loop": "off" },
    },
  ],
};
