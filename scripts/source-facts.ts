/** What the checks of the house need to know of a source file: what it imports, how long it and its functions are, where it reads a clock. */
import {
  parseSync,
  Visitor,
  type ArrowFunctionExpression,
  type CallExpression,
  type Expression,
  type Function as NamedFunction,
  type NewExpression,
  type Node,
  type Program,
} from "oxc-parser";

export interface FunctionFact {
  /** Its own name or that of the constant, property or method that holds it; null for a callback. */
  readonly name: string | null;
  /** Where it begins, counted from 1. */
  readonly line: number;
  readonly lines: number;
}

export interface SourceFacts {
  /** Path from the root of the checkout. */
  readonly path: string;
  readonly lines: number;
  /** Everything it imports, as it is written: values and types, static and dynamic. */
  readonly imports: readonly string[];
  readonly functions: readonly FunctionFact[];
  /** Lines with `new Date()` or `Date()`, which read the clock. */
  readonly clockReads: readonly number[];
}

type AnyFunction = NamedFunction | ArrowFunctionExpression;

/** @throws when the text is no TypeScript. */
export function factsOf(path: string, text: string): SourceFacts {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors.map(({ message }) => message).join(", ")}`);
  const lineAt = lineCounter(text);
  return {
    path,
    lines: lineAt(text.length) - (text.endsWith("\n") ? 1 : 0),
    imports: importsOf(program),
    functions: functionsOf(program, lineAt),
    clockReads: clockReadsOf(program, lineAt),
  };
}

function lineCounter(text: string): (offset: number) => number {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return (offset) => starts.findLastIndex((start) => start <= offset) + 1;
}

function importsOf(program: Program): string[] {
  const found: string[] = [];
  const note = ({ source }: { readonly source: Expression | null }): void => {
    if (source?.type === "Literal" && typeof source.value === "string") found.push(source.value);
  };
  new Visitor({
    ImportDeclaration: note,
    ExportNamedDeclaration: note,
    ExportAllDeclaration: note,
    ImportExpression: note,
    TSImportType: note,
  }).visit(program);
  return found;
}

function functionsOf(program: Program, lineAt: (offset: number) => number): FunctionFact[] {
  const found: FunctionFact[] = [];
  const names = namesOf(program);
  const note = (node: AnyFunction): void => {
    if (node.body === null) return;
    const line = lineAt(node.start);
    found.push({ name: node.id?.name ?? names.get(node.start) ?? null, line, lines: lineAt(node.end) - line + 1 });
  };
  new Visitor({ FunctionDeclaration: note, FunctionExpression: note, ArrowFunctionExpression: note }).visit(program);
  return found;
}

/** Where a function begins that a constant, a property or a method holds, and the holder's name. */
function namesOf(program: Program): Map<number, string> {
  const names = new Map<number, string>();
  const note = (holder: Node, value: Node | null): void => {
    if (value !== null && isFunction(value)) names.set(value.start, nameOf(holder));
  };
  new Visitor({
    VariableDeclarator: (node) => note(node.id, node.init),
    MethodDefinition: (node) => note(node.key, node.value),
    PropertyDefinition: (node) => note(node.key, node.value),
    Property: (node) => note(node.key, node.value),
  }).visit(program);
  return names;
}

function isFunction(node: Node): boolean {
  return node.type === "FunctionExpression" || node.type === "ArrowFunctionExpression";
}

function nameOf(holder: Node): string {
  if (holder.type === "Identifier") return holder.name;
  if (holder.type === "PrivateIdentifier") return `#${holder.name}`;
  return holder.type === "Literal" ? String(holder.value) : "computed";
}

function clockReadsOf(program: Program, lineAt: (offset: number) => number): number[] {
  const found: number[] = [];
  const note = (node: NewExpression | CallExpression): void => {
    const isDate = node.callee.type === "Identifier" && node.callee.name === "Date";
    if (isDate && (node.type === "CallExpression" || node.arguments.length === 0)) found.push(lineAt(node.start));
  };
  new Visitor({ NewExpression: note, CallExpression: note }).visit(program);
  return found;
}
