/** Building blocks of what the control API takes and gives: money, times, names. */
import type { MoneyMembers } from "@millrace/wire/money-json";
import * as z from "zod";
import { Refusal } from "./refusal.ts";

/** A name for people. */
export const name: z.ZodString = z.string().trim().min(1).max(100);

/** An instant in a body or a query. */
export const instant: z.ZodPipe<z.ZodISODateTime, z.ZodTransform<number, string>> = z.iso
  .datetime({ offset: true })
  .transform((text) => Date.parse(text));

/** An instant in an answer. */
export const time: z.ZodISODateTime = z.iso.datetime();

/** USD in a body, above zero. */
export const usd: z.ZodString = z.string().regex(/^\d{1,12}(?:\.\d{1,9})?$/, { error: "write USD as decimal text, such as 5.00" });

/** USD in a body, up or down. */
export const signedUsd: z.ZodString = z
  .string()
  .regex(/^-?\d{1,12}(?:\.\d{1,9})?$/, { error: "write USD as decimal text, such as 5.00 or -5.00" });

/** Of the two members that an amount has. */
const USD = z.string().regex(/^-?\d+\.\d{2,9}$/);
const NANOS = z.string().regex(/^-?\d+$/);

export function moneyShape<N extends string>(member: N): MoneyMembers<N, z.ZodString> {
  return { [member]: USD, [`${member}_nanos`]: NANOS } as MoneyMembers<N, z.ZodString>;
}

export function moneyOrNullShape<N extends string>(member: N): MoneyMembers<N, z.ZodNullable<z.ZodString>> {
  return { [member]: USD.nullable(), [`${member}_nanos`]: NANOS.nullable() } as MoneyMembers<N, z.ZodNullable<z.ZodString>>;
}

const TOKENS = ["input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"] as const;

/** Shapes of the members of `shownTokens`. */
export function tokensShape<S extends z.ZodType>(count: S): Record<(typeof TOKENS)[number], S> {
  return Object.fromEntries(TOKENS.map((name) => [name, count])) as Record<(typeof TOKENS)[number], S>;
}

/** The object without its undefined members. */
export function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** The refusal for an id that does not exist or that the caller may not know of. Both look the same. */
export function unknownId(kind: string, id: string): Refusal {
  return new Refusal("route_unknown", `There is no ${kind} ${id}: the list of ${kind}s shows those that exist.`);
}
