/**
 * A relay's name is its own: two of one name would end each other's holds. The name is a lock that lives as long as the
 * ledger's connection, so that whoever loses it cannot write to the ledger any more.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Session } from "./session.ts";
import { read } from "../sql/sql.ts";

/** Keeps these locks apart from those of other programs. Any number that nothing else of ours locks. */
const SPACE = 5_742_113_902;
/** A connection that was ended gives its lock back within moments. */
const FREE_WITHIN_MS = 500;
const AGAIN_MS = 20;

/** For the ledger's connection: one whose relay is gone without a word must not keep the name. Within about nine seconds. */
export const KEEP_ALIVE = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 2";

/** Another living process has the name. */
export class NameTaken extends Error {}

/**
 * Takes the name for as long as the session lives, after ending what is left of earlier connections of this process.
 * @param process what this process calls its connections; no other process does.
 * @throws {NameTaken}
 */
export async function takeName(session: Session, name: string, process: string): Promise<void> {
  const deadline = performance.now() + FREE_WITHIN_MS;
  for (;;) {
    const left = await session.run(
      read("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ? AND pid <> pg_backend_pid()", [process]),
    );
    const [row] = await session.run(read(`SELECT pg_try_advisory_lock(hashtextextended(?, ${SPACE})) AS taken`, [name]));
    if (row?.["taken"] === true) return;
    if (performance.now() > deadline)
      throw left.length > 0 ? new Error("an earlier connection has not ended yet") : new NameTaken(`another process uses the name ${name}`);
    await sleep(AGAIN_MS);
  }
}
