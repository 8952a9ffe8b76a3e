/** What a client made of an answer, and whether that is what the shape asks for. */
import type { ExpectedChoice, Shape } from "./shape.ts";

export type Outcome =
  | { readonly kind: "answer"; readonly choices: readonly ExpectedChoice[] }
  | { readonly kind: "error"; readonly error: unknown };

/** Runs a client; what it throws is its outcome too. */
export async function outcomeOf(run: () => Promise<readonly ExpectedChoice[]>): Promise<Outcome> {
  try {
    return { kind: "answer", choices: await run() };
  } catch (error) {
    return { kind: "error", error };
  }
}

/** What a client must be given for this shape: `answer` null means an error, `orError` that an error is right too. */
export function wanted(shape: Shape, kind: "chunks" | "helper"): { answer: readonly ExpectedChoice[] | null; orError: boolean } {
  const expectation = kind === "helper" ? shape.helperExpect : shape.expect;
  return { answer: expectation === "error" ? null : shape.answer, orError: expectation !== "whole" };
}

/** The `code` of the relay's error, wherever the client keeps it. */
export function codeOf(error: unknown): unknown {
  if (typeof error !== "object" || error === null) return undefined;
  return "code" in error ? error.code : undefined;
}

interface ToolPiece {
  readonly index: number;
  readonly id?: string | null;
  readonly function?: { readonly name?: string | null; readonly arguments?: string | null } | null;
}

interface ChunkChoice {
  readonly index: number;
  readonly delta: {
    readonly content?: string | null;
    readonly tool_calls?: readonly ToolPiece[] | null;
    readonly reasoning_content?: unknown;
  };
  readonly finish_reason: string | null;
}

/** Joins chunks the way programs without a helper do: nothing is forgiven. */
export class ChunkFold {
  readonly #choices: {
    text: string;
    reasoning: string;
    finish: string | null;
    tools: { id: string; name: string; arguments: string }[];
  }[] = [];

  push(chunk: { readonly choices: readonly ChunkChoice[] }): void {
    for (const { index, delta, finish_reason } of chunk.choices) {
      const choice = (this.#choices[index] ??= { text: "", reasoning: "", tools: [], finish: null });
      choice.text += delta.content ?? "";
      if (typeof delta.reasoning_content === "string") choice.reasoning += delta.reasoning_content;
      for (const piece of delta.tool_calls ?? []) {
        const call = (choice.tools[piece.index] ??= { id: "", name: "", arguments: "" });
        call.id += piece.id ?? "";
        call.name += piece.function?.name ?? "";
        call.arguments += piece.function?.arguments ?? "";
      }
      choice.finish = finish_reason ?? choice.finish;
    }
  }

  get choices(): readonly ExpectedChoice[] {
    return this.#choices;
  }
}
