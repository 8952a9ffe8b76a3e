/** Starts a relay from its configuration and ends it on a signal. The only file that knows the store's adapters. */
import { relative } from "node:path";
import { buildApp } from "./app.ts";
import type { App, AppParts } from "./app.ts";
import { snapshotOf } from "./chat/snapshot.ts";
import type { Config, ConfigMistake } from "./config/config.ts";
import { FileWatch } from "./config/file-watch.ts";
import type { FileLoader } from "./config/file-loader.ts";
import { newRevision } from "./config/revision.ts";
import type { FirstKey } from "./first-key.ts";
import { modelsWithoutPrice } from "./prices/book.ts";
import { openLog } from "./insight/log.ts";
import type { Log } from "./insight/log.ts";
import { demoConfig, startDemo } from "./simulator/demo.ts";
import type { Simulator } from "./simulator/simulator.ts";
import { controlStore } from "./store/control-store.ts";
import { openBooks } from "./store/open-store.ts";
import type { Books } from "./store/open-store.ts";
import { knownRevision, revisionStore } from "./store/revision-store.ts";
import { beginBooks, listenWhenFree, takeOver } from "./takeover.ts";

/** A relay that serves. */
export interface Served {
  readonly url: string;
  readonly app: App;
  readonly log: Log;
  /** Resolves when the relay can serve no more than accounts that do not pay: it is to be stopped. */
  readonly failed: Promise<Error>;
  /** Drains and closes everything, in order. */
  stop(settings?: { delayMs: number; drainMs: number }): Promise<void>;
  /** What to tell people of the start. Said once signals are heeded, for whoever reads it may send one. */
  readonly lines: readonly string[];
}

/**
 * Opens the store, makes the first key and listens. From then on files that change are loaded again.
 * Beside a relay on the same data that is draining it listens as soon as the port is free, and does the rest when the other has ended.
 * @param loader what `given` was loaded by. @param print tells what happens while it waits for another relay.
 * @throws with a sentence for people when the data directory is in use or the address is taken.
 */
export async function serve(given: Config, loader: FileLoader, print: (line: string) => void): Promise<Served> {
  const log = openLog({ level: given.log.level, format: given.log.format });
  const books = await openBooks({ ...given, mayWait: true, onTrouble: (message) => log.trouble(message) });
  const simulator = given.isDemo ? await startDemo() : null;
  const config = simulator === null ? given : demoConfig(given, simulator);
  const end = async (): Promise<void> => {
    await simulator?.close();
    await books.close();
    await log.flush();
  };
  try {
    const revisions = revisionStore(books.store);
    const isFirst = books.are() === "here";
    const asked = newRevision(given, loader.source, { author: "relay", reason: "start" });
    const snapshot = snapshotOf(config, isFirst ? await revisions.numberOf(asked) : await knownRevision(books.store, asked));
    const app: App = buildApp({
      snapshot,
      configuration: {
        source: loader.source,
        load: () => loader.load(),
        complete: (loaded) => completed(loaded, simulator, app),
        warningsOf: (loaded) => priceWarnings(loaded, app),
        revisions,
      },
      ...partsOf(books),
      log,
    });
    books.watch((changed) => app.learn(changed));
    if (!isFirst) print(`another relay on ${shortPath(config.dataDir)} is ending, and this one takes over`);
    const firstKey = isFirst ? await beginBooks(app, books.ledger, config) : null;
    const port = await listenWhenFree(app, books.portFreeWithinMs ?? 0);
    const url = urlOf(config.listen.host, port);
    const begin = async (): Promise<void> => {
      const revision = await revisions.numberOf(asked);
      // Another one that was loaded meanwhile has its number.
      if (app.current.now === snapshot) app.current.swap(snapshotOf(config, revision));
      await beginBooks(app, books.ledger, config);
    };
    const watch = FileWatch.begin({
      stamps: () => loader.stamps,
      onChange: () => app.reloader.reloadUnasked("a file changed"),
    });
    return {
      url,
      app,
      log,
      lines: [...warningLines(config, app), ...startLines(config, url, firstKey)],
      failed: isFirst ? new Promise(() => undefined) : takeOver({ opened: books.opened, begin, print }),
      stop: async (settings = app.current.now.config.shutdown) => {
        watch.close();
        books.markDraining(settings);
        await app.stop(settings);
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

function partsOf(books: Books): Omit<AppParts, "snapshot" | "configuration" | "log"> {
  const { store, access, ledger, rows, files, prices, givenTo, records, mayBeBehind, are: booksAre } = books;
  const stores = { keyStore: access, accountStore: access, control: controlStore(store) };
  return { ...stores, ledger, rows, files, prices, givenTo, records, mayBeBehind, booksAre };
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The simulator stands in where a relay starts without an upstream; it never takes the place of one that people are served by. */
function completed(loaded: Config, simulator: Simulator | null, { current }: App): Config | ConfigMistake {
  if (!loaded.isDemo) return loaded;
  if (simulator !== null && current.now.config.isDemo) return demoConfig(loaded, simulator);
  return { place: "upstreams", message: "No upstream is left. The built-in simulator stands in only where a relay starts without one." };
}

/** Accounts that pay are refused models without a price: the relay says so, before a customer finds out. */
function priceWarnings(config: Config, app: App): string[] {
  const unpriced = modelsWithoutPrice(config.prices, config.models.values(), Date.now());
  if (unpriced.length === 0 || !app.accounts.list().some((account) => account.isMetered)) return [];
  return [`accounts that pay are refused these models, which have no price: ${unpriced.join(", ")}`];
}

function warningLines(config: Config, app: App): string[] {
  return [...priceWarnings(config, app), ...config.warnings].map((warning) => `warning: ${warning}`);
}

function startLines(config: Config, url: string, firstKey: FirstKey): string[] {
  const lines: string[] = [];
  if (config.isDemo) lines.push("no provider key is set: the built-in simulator answers as upstream demo");
  else lines.push(`upstreams: ${[...config.upstreams.keys()].join(", ")}`);
  const bounds = [...config.upstreams.values()].map(({ name, inFlightMax }) => `${name} ${inFlightMax}`);
  lines.push(`calls at the same time, at most: ${bounds.join(", ")}`);
  lines.push(`data in ${shortPath(config.dataDir)}`, `listening on ${url}`);
  const key = keyForShell(firstKey);
  if (key === null) return lines;
  const model = [...config.models.values()].find((candidate) => candidate.isListed)?.name ?? [...config.models.keys()][0];
  if (model === undefined) lines.push(`no model is known by name: put one of ${[...config.upstreams.keys()][0]}'s in place of MODEL`);
  if (firstKey?.from === "environment") lines.push("the key is in MILLRACE_KEY: export it in the shell that you paste into");
  const body = JSON.stringify({ model: model ?? "MODEL", stream: true, messages: [{ role: "user", content: "Hello" }] });
  return [
    ...lines,
    "try it:",
    `  curl -N ${url}/v1/chat/completions -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" -d '${body.replaceAll("'", String.raw`'\''`)}'`,
  ];
}

function keyForShell(firstKey: FirstKey): string | null {
  if (firstKey === null) return null;
  return firstKey.from === "environment" ? "$MILLRACE_KEY" : `$(cat ${forShell(shortPath(firstKey.path))})`;
}

/** One word for a shell, quoted where it must be. */
function forShell(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A path as a person would type it from here. */
function shortPath(path: string): string {
  const near = relative(process.cwd(), path);
  return near.startsWith("..") ? path : `./${near}`;
}
