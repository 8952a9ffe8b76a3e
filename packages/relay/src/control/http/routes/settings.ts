/** What the running configuration says, and how it is loaded again. */
import { ReloadShape } from "../../resources/configuration.ts";
import { listPrices, PriceShape } from "../../resources/prices.ts";
import { listTiers, TierShape } from "../../resources/tiers.ts";
import { PageInput, pageShape } from "../page.ts";
import { API, route } from "../route.ts";
import type { ControlRoute } from "../route.ts";
import { READERS, STAFF } from "./roles.ts";

export const SETTINGS: readonly ControlRoute[] = [
  route(READERS, {
    name: "listPrices",
    method: "GET",
    path: `${API}/prices`,
    summary: "What accounts pay for each model, and what each upstream costs.",
    query: PageInput,
    answer: pageShape(PriceShape),
    act: (operations, { query }) => listPrices(operations.pricing(), query, Date.now()),
  }),
  route(READERS, {
    name: "listTiers",
    method: "GET",
    path: `${API}/tiers`,
    summary: "Tiers of limits, as the configuration names them.",
    query: PageInput,
    answer: pageShape(TierShape),
    act: (operations, { query }) => listTiers(operations.tiers(), query),
  }),
  route(STAFF, {
    name: "reload",
    method: "POST",
    path: `${API}/reload`,
    summary: "Load the configuration again. With a mistake nothing changes, and the error names all of them as `mistakes`.",
    answer: ReloadShape,
    act: (operations, { caller }) => operations.configuration.reload(caller),
  }),
];
