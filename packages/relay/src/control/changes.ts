/** The one way to change anything here: what is changed and the note of it are stored in one transaction, or neither is. */
import { errorText } from "../basics/error-text.ts";
import type { Operation, Refused, Result } from "../ledger/operation.ts";
import type { Caller } from "./access/caller.ts";
import type { ControlLedger, ControlStore, ControlWrite } from "./ports.ts";
import { Refusal } from "./http/refusal.ts";

/** What the audit says of a change. */
export interface Note {
  readonly action: string;
  readonly target: string;
  /** As the API shows it. */
  readonly before: object | null;
  readonly after: object | null;
}

/**
 * Why a change that the database refused for its own sake cannot be made, where whoever asked for it can do something about it;
 * {@link Overtaken} where it is to be decided anew.
 */
export type WhyNot = () => Promise<Refusal | null>;

/** Each time somebody else's change was stored, and other relays are few. */
const TRIES_MAX = 20;

/** What was to be changed is no longer what it was: another relay changed it in the same moment. */
export class Overtaken extends Refusal {
  constructor() {
    super("store_unavailable", "Somebody else changes the same at the moment. Nothing was changed: send it again.");
  }
}

/** Makes a change, and where it was overtaken once more from what is there now, so that neither of the two is undone. */
export async function untilFirst<T>(change: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await change();
    } catch (error) {
      if (!(error instanceof Overtaken) || tries === TRIES_MAX) throw error;
    }
  }
}

const NOTHING_TO_SAY: WhyNot = () => Promise.resolve(null);

export class Changes {
  readonly #store: Pick<ControlStore, "write" | "fresh">;
  readonly #ledger: ControlLedger;
  readonly #onTrouble: (message: string) => void;

  /** @param onTrouble told why a change was not stored; its caller hears that it was not. */
  constructor(store: Pick<ControlStore, "write" | "fresh">, ledger: ControlLedger, onTrouble: (message: string) => void) {
    this.#store = store;
    this.#ledger = ledger;
    this.#onTrouble = onTrouble;
  }

  /** @throws a {@link Refusal} when it is not known to be stored. */
  async write(caller: Caller, note: Note, writes: readonly ControlWrite[], whyNot: WhyNot = NOTHING_TO_SAY): Promise<void> {
    const failure = await this.#store.write([...writes, auditWrite(caller, note)]);
    // What is told to be made is known here by then, and what other relays made of it since.
    if (failure === null) return this.#store.fresh();
    throw (failure.isOwn ? await this.#said(whyNot) : null) ?? this.#notStored(note, failure.reason);
  }

  /** An operation of the ledger with its note; where it is only repeated, the first note stands. @throws where it is refused. */
  async ask(
    caller: Caller,
    note: Note,
    operation: Operation,
    writes: readonly ControlWrite[] = [],
    whyNot: WhyNot = NOTHING_TO_SAY,
  ): Promise<Extract<Result, { ok: true }>> {
    const result = await this.#ledger.ask(operation, [...writes, auditWrite(caller, note)]);
    if (result.ok) {
      if (writes.length > 0) await this.#store.fresh();
      return result;
    }
    if (result.code === "reference_used")
      throw new Refusal("invalid_request", "This reference was used for something else. Use another one.");
    if (result.code === "invalid_amount")
      throw new Refusal("invalid_request", "This amount cannot be: it is nothing, too large, or over before it begins.");
    if (result.code === "account_suspended")
      throw new Refusal("invalid_request", "This account is closed for good: nobody could use the credit.");
    throw (result.code === "store_failed" ? await this.#said(whyNot) : null) ?? this.#refused(note, operation, result);
  }

  /** Several operations, asked in one turn so that they are one batch and one transaction; writes and note ride on the last. */
  async askAll(
    caller: Caller,
    note: Note,
    operations: readonly Operation[],
    writes: readonly ControlWrite[],
    whyNot: WhyNot = NOTHING_TO_SAY,
  ): Promise<void> {
    const last = operations.at(-1);
    if (last === undefined) return this.write(caller, note, writes, whyNot);
    const others = operations.slice(0, -1).map((operation) => this.#ledger.ask(operation));
    const [, ...results] = await Promise.all([this.ask(caller, note, last, writes, whyNot), ...others]);
    for (const result of results) if (!result.ok) throw this.#notStored(note, result.reason ?? result.code);
  }

  /** What cannot be looked up is not said. */
  async #said(whyNot: WhyNot): Promise<Refusal | null> {
    try {
      return await whyNot();
    } catch (error) {
      this.#onTrouble(`why a change was refused is not known: ${errorText(error)}`);
      return null;
    }
  }

  #refused(note: Note, operation: Operation, { reason, code, isUnknown }: Refused): Refusal {
    const general = this.#notStored(note, reason ?? code);
    if (isUnknown !== true) return new Refusal("store_unavailable", "The database does not answer: nothing was changed.");
    if (!("reference" in operation)) return general;
    const message =
      "The database did not confirm the change: it may have been made. Send it again with the same reference: it is made once.";
    return new Refusal("store_unavailable", message);
  }

  #notStored({ action, target }: Note, reason: string): Refusal {
    this.#onTrouble(`${action} of ${target} was not stored: ${reason}`);
    // A connection that breaks in the middle leaves nobody knowing.
    return new Refusal("store_unavailable", "The database did not confirm the change. Look whether it was made before you repeat it.");
  }
}

function auditWrite({ actor, role, address }: Caller, note: Note): ControlWrite {
  return { kind: "audit", note: { ...note, actor, role, address, at: Date.now() } };
}
