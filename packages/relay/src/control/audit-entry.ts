/** The record of changes. Each entry holds the hash of the one before, so altering or removing one is detected. */
import { createHash } from "node:crypto";

/** A change, before its entry has a place in the chain. */
export interface AuditNote {
  readonly at: number;
  /** See `Caller`. */
  readonly actor: string;
  readonly role: string;
  /** Kind and verb, such as `key.create`. */
  readonly action: string;
  /** Id of the thing that changed. */
  readonly target: string;
  /** The thing as the control API shows it, without secrets; null if there was nothing. */
  readonly before: unknown;
  readonly after: unknown;
  readonly address: string | null;
}

export interface AuditEntry extends AuditNote {
  /** From 1, without gaps. */
  readonly seq: number;
  readonly prevHash: string;
  readonly hash: string;
}

/** The hash that the first entry has in place of an earlier entry's. */
const GENESIS: string = "0".repeat(64);

/** Puts a note at the end of the chain. */
export function chained(note: AuditNote, last: Pick<AuditEntry, "seq" | "hash"> | null): AuditEntry {
  const seq = (last?.seq ?? 0) + 1;
  const prevHash = last?.hash ?? GENESIS;
  return { ...note, seq, prevHash, hash: auditHash({ ...note, seq, prevHash }) };
}

/** `sha256(prev_hash + canonical json of the rest)`, with the member names of the control API, in hexadecimal. */
function auditHash({ prevHash, ...row }: Omit<AuditEntry, "hash">): string {
  const { seq, actor, role, action, target, before, after, address } = row;
  const shown = { seq, at: new Date(row.at).toISOString(), actor, role, action, target, before, after, address };
  return createHash("sha256").update(prevHash).update(canonicalJson(shown)).digest("hex");
}

/** JSON without blanks, the members of every object in the order of their names. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
}

/** What is wrong with an entry, given the one before it (null for the first), or null if it fits. */
function faultOf(entry: AuditEntry, before: Pick<AuditEntry, "seq" | "hash"> | null): string | null {
  const { hash: _hash, ...row } = entry;
  if (auditHash(row) !== entry.hash) return "its content is not what its hash says";
  if (entry.seq !== (before?.seq ?? 0) + 1) return `it follows ${before?.seq ?? "nothing"}: entries are missing`;
  if (entry.prevHash !== (before?.hash ?? GENESIS)) return "it does not follow the entry before it";
  return null;
}

export interface AuditVerdict {
  readonly entries: number;
  /** Hash of the newest entry. Someone who writes it down can later detect that entries were removed from the end. */
  readonly head: string;
  /** The first entry that does not fit, or null when the chain is whole. */
  readonly broken: { readonly seq: number; readonly reason: string } | null;
}

/** Walks a chain from its first entry on. */
export class ChainWalk {
  #entries = 0;
  #last: Pick<AuditEntry, "seq" | "hash"> | null = null;
  #broken: AuditVerdict["broken"] = null;

  /** Takes the next entry. What follows a broken one is only counted. */
  take(entry: AuditEntry): void {
    this.#entries += 1;
    const reason = faultOf(entry, this.#last);
    if (reason !== null) this.#broken ??= { seq: entry.seq, reason };
    this.#last = entry;
  }

  get verdict(): AuditVerdict {
    return { entries: this.#entries, head: this.#last?.hash ?? GENESIS, broken: this.#broken };
  }
}

/** Walks the chain. @param newestFirst all entries, as the list has them. */
export function verifyChain(newestFirst: readonly AuditEntry[]): AuditVerdict {
  const walk = new ChainWalk();
  for (const entry of newestFirst.toReversed()) walk.take(entry);
  return walk.verdict;
}
