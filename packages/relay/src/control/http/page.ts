/** Pages of lists: `{"data": [...], "next": CURSOR|null}`. A cursor is opaque to its reader. */
import * as z from "zod";
import type { Moment, UsagePlace } from "../ports.ts";
import { Refusal } from "./refusal.ts";

const PAGE_MAX = 500;
const CURSOR_CHARS_MAX = 2_000;

/** Query of every list. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
  cursor: z.string().max(CURSOR_CHARS_MAX).optional(),
};

/** The query of a list that is asked for nothing else. */
export const PageInput = z.strictObject(pageQuery);

export interface PageQuery {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface Page<S> {
  readonly data: S[];
  readonly next: string | null;
}

export function pageShape<S extends z.ZodType>(
  item: S,
): z.ZodObject<{ data: z.ZodArray<S>; next: z.ZodNullable<z.ZodString> }, z.core.$strict> {
  return z.strictObject({ data: z.array(item), next: z.string().nullable() });
}

/** How a place is written into a cursor, and read again. */
interface Place<P> {
  write(place: P): string;
  /** Null for a text that is not a cursor. */
  read(text: string): P | null;
}

export const SEQ: Place<number> = {
  write: (seq) => String(seq),
  read: (text) => (/^\d{1,15}$/.test(text) ? Number(text) : null),
};

export const MOMENT: Place<Moment> = {
  write: ({ atMs, id }) => `${atMs} ${id}`,
  read: (text) => {
    const [, at, id] = /^(\d{1,15}) (.{1,250})$/su.exec(text) ?? [];
    return at === undefined || id === undefined ? null : { atMs: Number(at), id };
  },
};

export const USAGE_PLACE: Place<UsagePlace> = {
  write: ({ atMs, group }) => `${atMs} ${group}`,
  read: (text) => {
    const [, at, group] = /^(\d{1,15}) (.{0,280})$/su.exec(text) ?? [];
    return at === undefined || group === undefined ? null : { atMs: Number(at), group };
  },
};

/** The slice that a page reads: one row more than it shows, to know whether more follow. */
export function sliceOf<P>(wish: PageQuery, place: Place<P>): { readonly after: P | null; readonly limit: number } {
  if (wish.cursor === undefined) return { after: null, limit: wish.limit + 1 };
  const text = Buffer.from(wish.cursor, "base64url").toString("utf8");
  const after = cursorOf(text) === wish.cursor ? place.read(text) : null;
  if (after === null) throw new Refusal("invalid_request", "No page has this cursor: begin without one.");
  return { after, limit: wish.limit + 1 };
}

export function pageOf<T, P, S>(
  rows: readonly T[],
  wish: PageQuery,
  place: Place<P>,
  placeOf: (row: T) => P,
  show: (row: T) => S,
): Page<S> {
  const shown = rows.slice(0, wish.limit);
  const last = shown.at(-1);
  return { data: shown.map(show), next: rows.length > wish.limit && last !== undefined ? cursorOf(place.write(placeOf(last))) : null };
}

/** A page of a list that is in memory. */
export function pageOfList<T extends { readonly id: string }, S>(all: readonly T[], wish: PageQuery, show: (item: T) => S): Page<S> {
  const from = wish.cursor === undefined ? 0 : all.findIndex((item) => cursorOf(item.id) === wish.cursor) + 1;
  if (wish.cursor !== undefined && from === 0) throw new Refusal("invalid_request", "No page has this cursor: begin without one.");
  const slice = all.slice(from, from + wish.limit);
  const last = slice.at(-1);
  return { data: slice.map(show), next: from + wish.limit < all.length && last !== undefined ? cursorOf(last.id) : null };
}

function cursorOf(text: string): string {
  return Buffer.from(text).toString("base64url");
}
