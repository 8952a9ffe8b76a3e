/** The only way to change anything in the control plane: one transaction stores the change and its audit entry, or neither. */
import { errorText } from "../basics/error-text.ts";
import type { Operation, Refused, Result } from "../ledger/operation.ts";
import type { Caller } from "./access/caller.ts";
import type { ControlLedger, ControlStore, ControlWrite } from "./ports.ts";
import { Refusal } from "./http/refusal.ts";

/** The audit's entry about a change. */
export interface Note {
  readonly action: string;
  readonly target: string;
  /** As the API shows it. */
  readonly before: object | null;
  readonly after: object | null;
}

/**
 * Looks up why the database refused a change: a {@link Refusal} that the caller can act on, {@link Overtaken} when the change
 * must be decided again, or null when the caller can do nothing about it.
 */
export type WhyNot = () => Promise<Refusal | null>;

/** How often a change is tried. Each try fails only because another relay's change was stored, and there are few other relays. */
const TRIES_MAX = 20;

/** Another relay changed the same thing at the same time, so this change must be decided again. */
export class Overtaken extends Refusal {
  constructor() {
    super("store_unavailable", "Somebody else is changing the same thing right now. Nothing was changed: send the request again.");
  }
}

/** Makes a change. If another relay's change came first, decides it again from the new state, so that neither change is undone. */
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

  /** @param onTrouble receives why a change was not stored; the caller learns only that it was not. */
  constructor(store: Pick<ControlStore, "write" | "fresh">, ledger: ControlLedger, onTrouble: (message: string) => void) {
    this.#store = store;
    this.#ledger = ledger;
    this.#onTrouble = onTrouble;
  }

  /** @throws a {@link Refusal} when it is not known to be stored. */
  async write(caller: Caller, note: Note, writes: readonly ControlWrite[], whyNot: WhyNot = NOTHING_TO_SAY): Promise<void> {
    const failure = await this.#store.write([...writes, auditWrite(caller, note)]);
    // Before the caller learns that the change was made, read it back, together with later changes by other relays.
    if (failure === null) return this.#store.fresh();
    throw (failure.isOwn ? await this.#said(whyNot) : null) ?? this.#notStored(note, failure.reason);
  }

  /**
   * Runs an operation of the ledger together with its audit entry. A repeated operation keeps its first entry.
   * @throws a {@link Refusal} when the ledger refuses it.
   */
  async ask(
    caller: Caller,
    note: Note,
    operation: Operation,
    writes: readonly ControlWrite[] = [],
    whyNot: WhyNot = NOTHING_TO_SAY,
  ): Promise<Extract<Result, { ok: true }>> {
    const result = await this.#ledger.ask(operation, [...writes, auditWrite(caller, note)]);
    if (!result.ok) throw await this.#refusalOf(note, operation, result, whyNot);
    if (writes.length > 0) await this.#store.fresh();
    return result;
  }

  /** Runs several operations in one transaction, with the writes and the audit entry. @throws if one of them is refused. */
  async askAll(
    caller: Caller,
    note: Note,
    operations: readonly Operation[],
    writes: readonly ControlWrite[],
    whyNot: WhyNot = NOTHING_TO_SAY,
  ): Promise<void> {
    const [first] = operations;
    if (first === undefined) return this.write(caller, note, writes, whyNot);
    const outcome = await this.#ledger.askAll(operations, [...writes, auditWrite(caller, note)]);
    const refused = outcome.ok ? outcome.results.find((result) => !result.ok) : outcome;
    if (refused !== undefined) throw await this.#refusalOf(note, first, refused, whyNot);
    if (writes.length > 0) await this.#store.fresh();
  }

  async #refusalOf(note: Note, operation: Operation, refused: Refused, whyNot: WhyNot): Promise<Refusal> {
    const { code } = refused;
    if (code === "reference_used") return new Refusal("invalid_request", "This reference was used for something else. Use another one.");
    if (code === "invalid_amount")
      return new Refusal(
        "invalid_request",
        "This amount is not possible: it is 0, it is too large, or the credit expires before it begins.",
      );
    if (code === "account_suspended")
      return new Refusal("invalid_request", "This account is closed for good: nobody could use the credit.");
    return (code === "store_failed" ? await this.#said(whyNot) : null) ?? this.#refused(note, operation, refused);
  }

  /** The reason for a refusal, or null when it cannot be looked up. */
  async #said(whyNot: WhyNot): Promise<Refusal | null> {
    try {
      return await whyNot();
    } catch (error) {
      this.#onTrouble(`the relay does not know why the ledger refused a change: ${errorText(error)}`);
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
    // If the connection broke after the write was sent, the database may have stored it.
    return new Refusal("store_unavailable", "The database did not confirm the change. Check whether it was made before you repeat it.");
  }
}

function auditWrite({ actor, role, address }: Caller, note: Note): ControlWrite {
  return { kind: "audit", note: { ...note, actor, role, address, at: Date.now() } };
}
