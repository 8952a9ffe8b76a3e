/** A store as revisions ask it. */
import type { NewRevision, RevisionStore } from "../config/revision.ts";
import type { Store } from "./store.ts";

export function revisionStore(store: Pick<Store, "query" | "write">): RevisionStore {
  return {
    numberOf: async (revision) => {
      const failure = await store.write([{ kind: "revision", revision }]);
      if (failure !== null) throw new Error(`the configuration could not be numbered: ${failure.reason}`);
      const number = await store.query("revision", { contentHash: revision.contentHash });
      if (number === null) throw new Error("the configuration was numbered, and its number is not found");
      return number;
    },
  };
}

/** The number that a configuration has without being given one; null where it has none, or the database does not tell. */
export async function knownRevision(store: Pick<Store, "query">, { contentHash }: NewRevision): Promise<number | null> {
  return store.query("revision", { contentHash }).catch(() => null);
}
