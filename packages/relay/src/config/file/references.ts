/** `${NAME}` in a configuration file stands for a variable; `$${` is a literal `${`. */
import type { Variables } from "../environment/dotenv.ts";
import type { Path } from "./document.ts";

interface ReferenceFault {
  readonly path: Path;
  readonly fault: string;
}

export interface Expanded {
  readonly data: unknown;
  readonly faults: readonly ReferenceFault[];
  /** Paths, joined by NUL, whose text held at least one reference. */
  readonly referring: ReadonlySet<string>;
}

interface Walk {
  readonly variables: Variables;
  readonly faults: ReferenceFault[];
  readonly referring: Set<string>;
}

const REFERENCE = /\$\$\{|\$\{([^}]*)\}|\$\{/g;

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

const DEPTH_MAX = 32;

/** Replaces every reference in every text of the data, but not in keys. */
export function expandReferences(data: unknown, variables: Variables): Expanded {
  const walk: Walk = { variables, faults: [], referring: new Set() };
  return { data: expand(data, [], walk), faults: walk.faults, referring: walk.referring };
}

/** A path as one text, for sets. */
export function pathId(path: Path): string {
  return path.map(String).join("\u0000");
}

function expand(value: unknown, path: Path, walk: Walk): unknown {
  if (typeof value === "string") return expandText(value, path, walk);
  if (typeof value !== "object" || value === null) return value;
  if (path.length >= DEPTH_MAX) {
    walk.faults.push({ path, fault: "is nested too deeply" });
    return null;
  }
  if (Array.isArray(value)) return value.map((item: unknown, at) => expand(item, [...path, at], walk));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, expand(item, [...path, key], walk)]));
}

function expandText(text: string, path: Path, walk: Walk): string {
  return text.replace(REFERENCE, (found, name: string | undefined) => {
    if (found === "$${") return "${";
    walk.referring.add(pathId(path));
    return variableOf(name, path, walk);
  });
}

function variableOf(name: string | undefined, path: Path, walk: Walk): string {
  if (name === undefined || !VARIABLE.test(name)) {
    walk.faults.push({
      path,
      fault: "holds a malformed reference; write ${NAME}, or $${ for a literal ${",
    });
    return "";
  }
  const value = Object.hasOwn(walk.variables, name) ? walk.variables[name] : undefined;
  if (value === undefined)
    walk.faults.push({
      path,
      fault: `refers to the environment variable ${name}, which is not set`,
    });
  return value ?? "";
}
