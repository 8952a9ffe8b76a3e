/** The documents say what the code does, and the checkout is kept in order. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ERROR_CODES, STREAM_ERROR_CODES } from "@millrace/wire/error-codes";
import { describe, expect, test } from "vitest";
import { relayError } from "../../packages/relay/src/chat/relay-error.ts";
import { configJsonSchema } from "../../packages/relay/src/config/file/schema.ts";
import { ROUTES } from "../../packages/relay/src/control/http/routes.ts";
import { bodyOf, statusOf } from "../../packages/relay/src/edge/error-table.ts";
import { END_REASONS, MARKS } from "../../packages/relay/src/insight/row.ts";
import { Metrics } from "../../packages/relay/src/insight/metrics.ts";
import { BASES } from "../../packages/relay/src/ledger/state.ts";
import { presets } from "../../packages/relay/src/provider/catalogue.ts";
import { FAULT_FORMS } from "../../packages/relay/src/simulator/fault-spec.ts";
import { migrateSqlite } from "../../packages/relay/src/store/sqlite/migrate.ts";
import { documents, filesBelow, quoted, root, section, tableRows, textOf } from "./checkout.ts";

const sources = filesBelow("packages").filter((path) => /^packages\/\w+\/src\/.*\.ts$/.test(path));

/** First cells of a document's rows, without their backticks. */
function firstCells(text: string): string[] {
  return tableRows(text).flatMap(([cell]) => quoted(cell ?? ""));
}

describe("a document", () => {
  test("names only paths that exist", () => {
    const tops = ["packages", "docs", "examples", "test", "bench", "chaos", "scripts", "fixtures", ".ci"];
    const missing = documents().flatMap((document) => {
      const text = textOf(document);
      const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => join(dirname(document), match[1] ?? ""));
      const named = quoted(text.replaceAll(/```[\s\S]*?```/g, "")).filter((word) => tops.some((top) => word.startsWith(`${top}/`)));
      const spoken = [...text.matchAll(/(?:node|python3|check|--config) ((?:examples|test|docs)\/[\w./-]+)/g)].map(
        (match) => match[1] ?? "",
      );
      return [...links, ...named, ...spoken].filter((path) => !existsSync(join(root, path))).map((path) => `${document}: ${path}`);
    });
    expect(missing).toEqual([]);
  });

  test("names only npm scripts that exist, and those run files that exist", () => {
    const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
    const named = documents().flatMap((document) => [...textOf(document).matchAll(/npm run (\w+)/g)].map((match) => match[1] ?? ""));
    expect([...new Set(named)].filter((name) => scripts[name] === undefined)).toEqual([]);
    const files = Object.values(scripts).flatMap((script) => [...script.matchAll(/[\w./-]+\.ts\b/g)].map((match) => match[0]));
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });

  test("holds no path of somebody's machine", () => {
    const found = documents().filter((document) => /(?:^|[\s"'`(])\/(?:home|root|Users|work|tmp)\//.test(textOf(document)));
    expect(found).toEqual([]);
  });
});

test("ARCHITECTURE.md says where things are, and there they are", () => {
  const rows = tableRows(section(textOf("ARCHITECTURE.md"), "## Where is ..."));
  const lost = rows.filter(([, file, name]) => !textOf(quoted(file ?? "")[0] ?? "").includes(quoted(name ?? "")[0] ?? "nothing"));
  expect(lost).toEqual([]);
  expect(rows.length).toBeGreaterThan(10);
});

describe("the README of a folder", () => {
  const folders = documents().filter((path) => /^(?:packages|chaos|bench)\/(?:.*\/)?README\.md$/.test(path));

  test.each(folders)("%s fits on a screen and names only files that exist", (path) => {
    const text = textOf(path);
    const files = quoted(text).filter((word) => /^[\w./-]+(?:\.(?:ts|json)|\/)$/.test(word));
    expect(files.filter((file) => !existsSync(join(root, dirname(path), file)))).toEqual([]);
    expect(text.split("\n").length - 1).toBeLessThanOrEqual(20);
    for (const part of ["**What is here.**", "passes.**", "**What may not be here.**"]) expect(text).toContain(part);
  });
});

describe("docs/errors.md", () => {
  const text = textOf("docs/errors.md");

  test("has every code with its status and type, and no other", () => {
    const rows = tableRows(section(text, "## Before the answer has begun"));
    const said = rows.map(([code, status, type]) => `${quoted(code ?? "")[0]} ${status} ${quoted(type ?? "")[0]}`);
    const meant = ERROR_CODES.map((code) => {
      const error = relayError(code, "");
      return `${code} ${statusOf(error)} ${bodyOf(error, "").error.type}`;
    });
    expect(said.toSorted()).toEqual(meant.toSorted());
  });

  test("has every code that a stream can end with, and no other", () => {
    expect(firstCells(section(text, "## In a stream")).toSorted()).toEqual([...STREAM_ERROR_CODES].toSorted());
  });
});

test("docs/metrics.md has every metric with its type, and no other", () => {
  const rendered = new Metrics({ streamsActive: () => 0, rowsWaiting: () => 0, upstreams: () => [] }).render();
  const meant = [...rendered.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => `${match[1]} ${match[2]}`);
  const said = tableRows(textOf("docs/metrics.md")).map(([name, type]) => `${quoted(name ?? "")[0]} ${type}`);
  expect(said.toSorted()).toEqual(meant.toSorted());
});

describe("docs/data.md", () => {
  const text = textOf("docs/data.md");

  test("has every column of every table, and no other", () => {
    const database = new DatabaseSync(":memory:");
    migrateSqlite(database);
    const columnsOf = (table: string): string[] =>
      database
        .prepare(`PRAGMA table_info(${table})`)
        .all()
        .map((row) => String(row["name"]));
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const small = [
      ...tableRows(section(text, "## `keys` and `accounts`")),
      ...tableRows(section(text, "## `members` and `audit_log`")),
      ...tableRows(section(text, "## The ledger")),
    ];
    const said = (table: string): string[] =>
      !["requests", "revisions", "attempts", "usage_sums"].includes(table)
        ? small.filter(([cell]) => cell === `\`${table}\``).flatMap(([, cell]) => quoted(cell ?? ""))
        : firstCells(section(text, `## \`${table}\``));
    for (const { name } of tables) expect(said(String(name)).toSorted(), String(name)).toEqual(columnsOf(String(name)).toSorted());
    database.close();
  });

  test("has every end reason, mark and basis, and no other", () => {
    expect(firstCells(section(text, "## End reasons")).toSorted()).toEqual([...END_REASONS].toSorted());
    expect(firstCells(section(text, "## Basis")).toSorted()).toEqual([...BASES].toSorted());
    expect(firstCells(section(text, "## Marks")).toSorted()).toEqual([...MARKS].toSorted());
  });
});

test("docs/control-api.md has every route with the roles that may use it, and no other", () => {
  const rows = tableRows(section(textOf("docs/control-api.md"), "## Routes"));
  const said = rows.map(([route, who]) => `${quoted(route ?? "")[0]}: ${who?.replaceAll("`", "")}`);
  const meant = ROUTES.map(({ method, path, roles }) => `${method} ${path}: ${roles === "anyone" ? roles : roles.join(" ")}`);
  expect(said.toSorted()).toEqual(meant.toSorted());
});

test("docs/simulator.md has every fault spec, and no other", () => {
  const nameOf = (form: string): string => /^[\w.-]+?(?=\[|=|$)/.exec(form)?.[0].replace("400..599", "400") ?? form;
  const said = tableRows(section(textOf("docs/simulator.md"), "## Fault specs")).flatMap(([cell]) => quoted(cell ?? "").map(nameOf));
  const ours = [...FAULT_FORMS.map(nameOf), "599", "503", "429"];
  expect(said.toSorted()).toEqual(ours.toSorted());
});

test("docs/providers.md has every preset with its variable, address and names", () => {
  const rows = tableRows(textOf("docs/providers.md"));
  for (const preset of presets) {
    const words = rows.filter(([name]) => name === `\`${preset.name}\``).flatMap((row) => quoted(row.join(" ")));
    const variable = `${preset.env}_${preset.needsKey ? "API_KEY" : "BASE_URL"}`;
    const others = preset.hosts.filter((host) => host !== new URL(preset.baseUrl).hostname);
    const meant = [variable, preset.baseUrl, ...others, ...preset.models, ...preset.unlisted, ...preset.owns];
    expect(words, preset.name).toEqual(expect.arrayContaining(meant));
  }
  const named = rows.map(([name]) => quoted(name ?? "")[0] ?? "");
  expect([...new Set(named)].toSorted()).toEqual(presets.map((preset) => preset.name).toSorted());
});

describe("docs/configuration.md", () => {
  const text = textOf("docs/configuration.md");

  test("has every MILLRACE_ variable that the code reads, and no other", () => {
    const readers = /const READERS[^{]*\{([\s\S]*?)\n\};/.exec(textOf("packages/relay/src/config/environment/settings.ts"))?.[1] ?? "";
    const own = [...readers.matchAll(/^ {2}([A-Z_]+):/gm)].map((match) => `MILLRACE_${match[1]}`);
    const read = sources.flatMap((path) => [...textOf(path).matchAll(/MILLRACE_[A-Z]+(?:_[A-Z]+)*/g)].map((match) => match[0]));
    const said = firstCells(section(text, "## Environment")).filter((word) => word.startsWith("MILLRACE_"));
    expect(said.toSorted()).toEqual([...new Set([...own, ...read])].toSorted());
  });

  test("has every key of the file, and no other", () => {
    const said = firstCells(section(text, "## Configuration file")).flatMap(spelledOut);
    expect(said.toSorted()).toEqual([...new Set(keysOf(configJsonSchema() as Schema, ""))].toSorted());
  });
});

/** What the document's `PRICE` and `KINDS` stand for. */
function spelledOut(key: string): string[] {
  const prices = ["models.NAME.price", "upstreams.NAME.costs.NAME"];
  const kinds = prices.flatMap((price) => ["", ".bands[]", ".windows[]", ".windows[].bands[]"].map((part) => price + part));
  const places = { PRICE: prices, KINDS: kinds };
  const [word = "", ...rest] = key.split(".");
  return word === "PRICE" || word === "KINDS" ? places[word].map((place) => [place, ...rest].join(".")) : [key];
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly type?: string;
}

/** Keys as people write them, down to what holds a value. */
function keysOf(schema: Schema, path: string): string[] {
  const under = (key: string): string => (path === "" ? key : `${path}.${key}`);
  if (schema.properties !== undefined) return Object.entries(schema.properties).flatMap(([key, child]) => keysOf(child, under(key)));
  if (typeof schema.additionalProperties === "object") return keysOf(schema.additionalProperties, under("NAME"));
  const inner = [
    ...(schema.items === undefined ? [] : keysOf(schema.items, `${path}[]`)),
    ...(schema.anyOf ?? []).flatMap((one) => keysOf(one, path)),
  ];
  return [path, ...inner];
}

/** A dialect that clients speak is named after its maker, in the path of its endpoints alone. */
const ENDPOINT_FILE = /"\.[^"]*\/endpoints\/[\w-]+\.ts"/g;

/**
 * What may stand outside `provider/` although it holds a provider's name: the simulator imitates providers, so its folder is
 * left out; the other places are named with their reason.
 */
const NAMES_ALLOWED: readonly (readonly [file: string, text: string, why: string])[] = [
  ["packages/relay/src/chat/redact.ts", "xai", "how keys of that maker begin"],
  ["packages/relay/src/chat/attempt.ts", "x-deepseek-request-id", "a header that may carry a request id"],
];

test("no folder but provider/ knows a provider's name", () => {
  const names = new RegExp(`\\b(?:${presets.map((preset) => preset.name).join("|")})\\b(?!-compatible)`, "i");
  const found = sources
    .filter((path) => path.startsWith("packages/relay/") && !/\/src\/(?:provider|simulator)\//.test(path))
    .flatMap((path) => {
      const allowed = NAMES_ALLOWED.filter(([file]) => file === path).map(([, text]) => text);
      const code = allowed.reduce((text, word) => text.replaceAll(word, ""), withoutComments(textOf(path)).replaceAll(ENDPOINT_FILE, ""));
      return code
        .split("\n")
        .filter((line) => names.test(line))
        .map((line) => `${path}: ${line.trim()}`);
    });
  expect(found).toEqual([]);
});

function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "");
}

describe("the checkout", () => {
  const written = filesBelow().filter((path) => /\.(?:ts|js|json|md|py|ya?ml|sh)$|^\.ci\//.test(path) && !path.startsWith("fixtures/"));

  test("leaves nothing for later in a comment", () => {
    const words = new RegExp(`\\b(?:${["TO", "FIX"].map((start) => start + (start === "TO" ? "DO" : "ME")).join("|")})\\b`);
    expect(written.filter((path) => words.test(textOf(path)))).toEqual([]);
  });

  test("has no file over 500 lines but lists for machines", () => {
    const long = written.filter((path) => !path.endsWith(".json") && textOf(path).split("\n").length > 501);
    expect(long).toEqual([]);
  });

  test("names files by what they are", () => {
    const vague = /(?:^|[-.])(?:utils?|helpers?|managers?|services?|misc|common-stuff)(?:[-.]|$)/;
    const found = filesBelow().filter((path) => path.endsWith(".ts") && vague.test(basename(path)));
    expect(found.filter((path) => path.includes("/src/"))).toEqual([]);
    expect(filesBelow().filter((path) => path.endsWith(".ts") && !/^[a-z0-9]+(?:[-.][a-z0-9]+)*\.ts$/.test(basename(path)))).toEqual([]);
  });

  test("names only files that exist, in its comments too", () => {
    const known = new Set(filesBelow().flatMap((path) => path.split("/").map((_, at, parts) => parts.slice(at).join("/"))));
    const lost = written
      .filter((path) => path.endsWith(".ts"))
      .flatMap((path) =>
        textOf(path)
          .split("\n")
          .filter((line) => /^\s*(?:\/?\*|\/\/)/.test(line))
          .flatMap((line) => quoted(line).filter((word) => /^[\w/.-]+\.ts$/.test(word) && !known.has(word)))
          .map((word) => `${path}: ${word}`),
      );
    expect(lost).toEqual([]);
  });

  test("has one version everywhere", () => {
    const manifests = filesBelow().filter((path) => basename(path) === "package.json");
    const version = (JSON.parse(textOf("package.json")) as { version: string }).version;
    for (const path of manifests) {
      const manifest = JSON.parse(textOf(path)) as { version: string; dependencies?: Record<string, string> };
      expect(manifest.version, path).toBe(version);
      for (const [name, wanted] of Object.entries(manifest.dependencies ?? {}))
        if (name.startsWith("@millrace/")) expect(wanted, path).toBe(version);
    }
    for (const file of ["cli/program.ts", "control/http/openapi.ts"])
      expect(textOf(`packages/relay/src/${file}`)).toContain(`"${version}"`);
    expect(textOf("CHANGELOG.md")).toContain(`## [${version}]`);
  });

  test("pins every dependency exactly, and its lock file names no registry", () => {
    const loose = filesBelow()
      .filter((path) => basename(path) === "package.json")
      .flatMap((path) => {
        const manifest = JSON.parse(textOf(path)) as Record<
          "dependencies" | "devDependencies" | "optionalDependencies",
          Record<string, string>
        >;
        return Object.entries({ ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies });
      })
      .filter(([, version]) => !/^(?:npm:[\w@/-]+@)?\d+\.\d+\.\d+$/.test(version));
    expect(loose).toEqual([]);
    expect(textOf("package-lock.json")).not.toMatch(/"resolved": "https?:/);
  });
});
