/** A store as the control plane asks it. */
import type { ControlStore } from "../control/ports.ts";
import type { Store } from "./store.ts";

export function controlStore(store: Pick<Store, "fresh" | "query" | "write">): ControlStore {
  return {
    write: (writes) => store.write(writes),
    accountClash: ({ id, name }) => store.query("accountClash", { id, name }),
    fresh: () => store.fresh(),
    memberById: (value) => store.query("member", { by: "id", value }),
    memberBySha256: (value) => store.query("member", { by: "sha256", value }),
    members: (slice) => store.query("members", slice),
    auditEntries: (slice) => store.query("auditEntries", slice),
    transfers: (of) => store.query("transfers", of),
    lots: (of) => store.query("lots", of),
    requests: (filter) => store.query("requests", filter),
    request: (id) => store.query("requestDetail", { id }),
    writeOffs: (filter) => store.query("writeOffs", filter),
    statement: (accountId, fromMs, toMs) => store.query("statement", { accountId, fromMs, toMs }),
    upstreamDay: (day) => store.query("upstreamDay", day),
    usage: (question) => store.query("usage", question),
  };
}
