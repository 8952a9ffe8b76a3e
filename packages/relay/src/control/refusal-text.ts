/** What a refused operation says to a person at a terminal. */
import * as z from "zod";

export function sentenceOf(error: unknown): string {
  if (error instanceof z.ZodError) return z.prettifyError(error);
  return error instanceof Error ? error.message : String(error);
}
