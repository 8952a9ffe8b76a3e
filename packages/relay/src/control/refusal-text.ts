/** What a refused operation says to a person at a terminal. */
import { errorText } from "../basics/error-text.ts";
import * as z from "zod";

export function sentenceOf(error: unknown): string {
  if (error instanceof z.ZodError) return z.prettifyError(error);
  return errorText(error);
}
