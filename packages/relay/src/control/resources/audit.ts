/** The audit as the API shows it, newest first. */
import { isoOf } from "../../basics/iso-time.ts";
import * as z from "zod";
import type { AuditEntry } from "../audit-entry.ts";
import { pageOf, SEQ, sliceOf } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";
import type { ControlStore } from "../ports.ts";
import { time } from "../http/shapes.ts";

const shownJson = z.record(z.string(), z.unknown()).nullable();
const hash = z.string().regex(/^[0-9a-f]{64}$/);

export const AuditShape = z.strictObject({
  seq: z.number().int(),
  at: time,
  actor: z.string(),
  role: z.string(),
  action: z.string(),
  target: z.string(),
  before: shownJson,
  after: shownJson,
  address: z.string().nullable(),
  prev_hash: hash,
  hash,
});

type AuditView = z.output<typeof AuditShape>;

export class Audit {
  readonly #store: Pick<ControlStore, "auditEntries">;

  constructor(store: Pick<ControlStore, "auditEntries">) {
    this.#store = store;
  }

  async list(wish: PageQuery): Promise<Page<AuditView>> {
    const rows = await this.#store.auditEntries(sliceOf(wish, SEQ));
    return pageOf(rows, wish, SEQ, (entry) => entry.seq, shownEntry);
  }
}

function shownEntry({ at, prevHash, before, after, ...rest }: AuditEntry): AuditView {
  return { ...rest, at: isoOf(at), before: before as AuditView["before"], after: after as AuditView["after"], prev_hash: prevHash };
}

/** The stored form of a shown entry, for a program that checks the chain from outside. */
export function entryShown(shown: unknown): AuditEntry {
  const { at, prev_hash, ...rest } = AuditShape.parse(shown);
  return { ...rest, at: Date.parse(at), prevHash: prev_hash };
}
