/** Schemas for texts of a configuration file that other files parse. */
import { z } from "zod";
import type { Parsed } from "../values.ts";

export function text(meaning: string): z.ZodString {
  return z.string({ error: "must be text; put it in quotation marks" }).describe(meaning);
}

/** A text that another file of the configuration parses. */
export function judged(meaning: string, faultOf: (value: string) => string | null): z.ZodString {
  return text(meaning).superRefine((value, issues) => {
    const fault = faultOf(value);
    if (fault !== null) issues.addIssue({ code: "custom", message: fault });
  });
}

export function faultIn(parse: (value: string) => Parsed<unknown>): (value: string) => string | null {
  return (value) => {
    const result = parse(value);
    return "fault" in result ? result.fault : null;
  };
}
