/** The models that a key may use, and the error for a model that is unknown or not allowed. */
import { mayUseModel } from "../admission/authorize.ts";
import type { Grant } from "../admission/authorize.ts";
import { closeMatches } from "../basics/nearest.ts";
import { relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";
import type { Snapshot } from "../chat/snapshot.ts";
import type { Model } from "../config/config.ts";
import { resolveModel } from "../config/resolve-model.ts";
import { sendVisited, turnAway } from "./visit.ts";
import type { Visit } from "./visit.ts";

/** What an error repeats of a model's name. */
const SHOWN_CHARS_MAX = 80;

/** `GET /v1/models`. */
export function sendModels(visit: Visit, grant: Grant): void {
  const { models, limits = null } = visit.snapshot.config;
  const listed = [...models.values()].filter((model) => model.isListed && mayUseModel(grant, limits, model.name));
  sendVisited(visit, { object: "list", data: listed.map(modelObject) });
}

/** `GET /v1/models/{id}`. The relay answers for a model that the key may not use as for an unknown one. */
export function sendModel(visit: Visit, grant: Grant, id: string): void {
  const found = modelFor(grant, visit.snapshot, id);
  if (found.ok) sendVisited(visit, modelObject(found.model));
  else turnAway(visit, unknownModel(id, visit.snapshot));
}

/** The model of that name if the key may use it, else the error for the client. */
export function modelFor(
  grant: Grant,
  snapshot: Snapshot,
  name: string,
): { readonly ok: true; readonly model: Model } | { readonly ok: false; readonly error: RelayError } {
  if (!mayUseModel(grant, snapshot.config.limits ?? null, name)) return { ok: false, error: notAllowed(name) };
  const model = resolveModel(snapshot.config, name);
  return model === null ? { ok: false, error: unknownModel(name, snapshot) } : { ok: true, model };
}

function modelObject(model: Model): Record<string, unknown> {
  return { id: model.name, object: "model", created: 0, owned_by: model.routes[0]?.upstream ?? "millrace" };
}

function notAllowed(model: string): RelayError {
  return relayError("model_not_allowed", `This key may not use the model ${shown(model)}.`, { param: "model" });
}

function unknownModel(name: string, { config }: Snapshot): RelayError {
  const close = closeMatches(name, [...config.models.keys()]);
  const hint = close.length === 0 ? "GET /v1/models lists the models of this relay." : `Did you mean ${close.join(" or ")}?`;
  return relayError("model_not_found", `This relay does not know the model ${shown(name)}. ${hint}`, { param: "model" });
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, SHOWN_CHARS_MAX));
}
