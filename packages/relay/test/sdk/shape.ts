/** What a wire shape is, and the pieces that shapes are made of. */
import type { Scenario } from "../../src/simulator/scenario.ts";

/** One write of the upstream. */
interface Write {
  readonly text: string;
  /** Before it; 0 still gives it a packet of its own. */
  readonly afterMs: number;
}

interface ExpectedTool {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** What one choice of the whole answer says. */
export interface ExpectedChoice {
  readonly text: string;
  readonly reasoning: string;
  readonly tools: readonly ExpectedTool[];
  readonly finish: string | null;
}

/** What a client must get: the whole answer, an error, or one of the two; never a part that looks like the whole. */
type Expectation = "whole" | "error" | "either";

export interface Shape {
  /** Also the model name by which a client asks for it. */
  readonly name: string;
  /** Which of the shapes it is; the same name in every language. */
  readonly row: string;
  readonly table: "wire" | "helpers" | "ends";
  readonly writes: readonly Write[];
  readonly end: "clean" | "fin" | "rst";
  readonly oneBytePerWrite: boolean;
  /** `n` of the request. */
  readonly choicesAsked: number;
  /** Of a client that reads chunks. */
  readonly expect: Expectation;
  /** Of a helper that builds the whole message: some refuse what a reader of chunks forgives. */
  readonly helperExpect: Expectation;
  /** The code of the error, where there is to be one. */
  readonly code: "upstream_failed" | "upstream_truncated" | null;
  /** The answer is there long before the upstream closes. */
  readonly isPrompt: boolean;
  readonly answer: readonly ExpectedChoice[];
}

type Given = Partial<Omit<Shape, "writes" | "row" | "table">>;
type Script = string | readonly (string | Write)[];

/** Makes a shape of the rows of one table; without more words it is the good answer `text`, told whole. */
export function shapeMaker(table: Shape["table"], text: string) {
  return (name: string, row: string, script: Script, given: Given = {}): Shape => {
    const writes = (typeof script === "string" ? [script] : script).map((part) =>
      typeof part === "string" ? { text: part, afterMs: 0 } : part,
    );
    const expect = given.expect ?? (given.code == null ? "whole" : "error");
    return {
      name,
      row,
      table,
      writes,
      end: "clean",
      oneBytePerWrite: false,
      choicesAsked: 1,
      helperExpect: expect,
      code: null,
      isPrompt: false,
      answer: [said(text)],
      ...given,
      expect,
    };
  };
}

/** A choice that was told whole. */
export function said(text: string, more: Partial<ExpectedChoice> = {}): ExpectedChoice {
  return { text, reasoning: "", tools: [], finish: "stop", ...more };
}

const HEAD = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m" };

interface ChoiceSpec {
  readonly delta: object;
  readonly finish?: string | null;
  readonly index?: number;
}

/** One chunk as JSON; `top` adds or replaces top-level members, behind the usual ones. */
export function chunk(choices: readonly ChoiceSpec[], top: object = {}): string {
  const listed = choices.map(({ delta, finish, index }) => ({ index: index ?? 0, delta, finish_reason: finish ?? null }));
  return JSON.stringify({ ...HEAD, choices: listed, ...top });
}

/** A chunk of one choice. */
export function delta(content: object, finish: string | null = null, top: object = {}): string {
  return chunk([{ delta: content, finish }], top);
}

export const ROLE: string = delta({ role: "assistant", content: "" });
export const FINISH: string = delta({}, "stop");
export const DONE = "[DONE]";

export function text(content: string): string {
  return delta({ content });
}

/** The good answer of the first table. */
export const GOOD: readonly string[] = [ROLE, text("Hé"), text("llo"), FINISH];

/** An event in canonical form. */
export function event(data: string): string {
  return `data: ${data}\n\n`;
}

export function events(...data: readonly string[]): string[] {
  return data.map(event);
}

/** The simulator's scenario that sends the shape. */
export function scenarioOf(shape: Shape): Partial<Scenario> {
  const body = shape.writes.map((write) => ({ bytes: Buffer.from(write.text), afterMs: write.afterMs }));
  return { oneBytePerWrite: shape.oneBytePerWrite, raw: { body, end: shape.end } };
}

/** The same bytes in one packet. */
export function scenarioInOnePacket(shape: Shape): Partial<Scenario> {
  return { raw: { body: Buffer.from(shape.writes.map((write) => write.text).join("")), end: shape.end } };
}
