/** Turns the prices of a configuration file into histories for the price book, or into their faults. */
import { asObject, isObject } from "@millrace/wire/json-values";
import type { JsonObject } from "@millrace/wire/json-values";
import { NO_MARKUP_PPM, type PriceHistory } from "@millrace/policy/price";
import { parseMarkup, readWrittenPrice } from "@millrace/policy/price-written";
import { withId } from "../../prices/id.ts";
import type { FileDocument, Path } from "./document.ts";
import type { FileShape } from "./schema.ts";
import type { PriceList, Pricing } from "../pricing.ts";

interface PriceFault {
  readonly path: Path;
  readonly fault: string;
}

/** Faults that need more than one text, in data of any shape. */
export function priceFaults(root: JsonObject): PriceFault[] {
  const models = entriesOf(root["models"]).map(([name, model]): [Path, unknown] => [["models", name, "price"], mapping(model)["price"]]);
  const costs = entriesOf(root["upstreams"]).flatMap(([upstream, entry]) =>
    entriesOf(mapping(entry)["costs"]).map(([model, cost]): [Path, unknown] => [["upstreams", upstream, "costs", model], cost]),
  );
  return [...models, ...costs].flatMap(([path, written]) => (isObject(written) ? faultsAt(path, written) : []));
}

function faultsAt(path: Path, written: JsonObject): PriceFault[] {
  const read = readWrittenPrice(written);
  return "faults" in read ? read.faults.map((one) => ({ path: [...path, ...one.path], fault: one.fault })) : [];
}

/** What a checked file says about prices. It names the lists; other code reads them. */
export function pricingOf(shape: FileShape, document: FileDocument): Pricing {
  const { prices } = shape;
  const written = Object.entries(shape.models ?? {}).flatMap(([name, { price }]) => historyOf(name, `price:${name}`, price));
  const costs = Object.entries(shape.upstreams ?? {}).map(([upstream, entry]): [string, ReadonlyMap<string, PriceHistory>] => {
    const models = Object.entries(entry.costs ?? {}).flatMap(([model, cost]) => historyOf(model, `upstream:${upstream}/${model}`, cost));
    return [upstream, new Map(models)];
  });
  return {
    prices: new Map(written),
    costs: new Map(costs),
    imported: [],
    markupPpm: markupOf(prices?.markup) ?? (shape.models === undefined ? NO_MARKUP_PPM : null),
    lists: (prices?.import ?? []).map((file, at): PriceList => ({ file, place: document.placeOf(["prices", "import", at]) })),
    refusedAt: prices?.missing === "refuse" ? document.placeOf(["prices", "missing"]) : null,
    isTold: prices !== undefined || written.length > 0,
  };
}

function historyOf(name: string, scope: string, written: JsonObject | undefined): [string, PriceHistory][] {
  const read = written === undefined ? null : readWrittenPrice(written);
  return read !== null && "price" in read ? [[name, [withId(scope, read.price)]]] : [];
}

function markupOf(text: string | undefined): bigint | null {
  const read = text === undefined ? null : parseMarkup(text);
  return read !== null && "value" in read ? read.value : null;
}

function entriesOf(value: unknown): [string, unknown][] {
  return Object.entries(mapping(value));
}

function mapping(value: unknown): JsonObject {
  return asObject(value) ?? {};
}
