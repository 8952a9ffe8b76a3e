/** The records: requests, their sums, write-offs, the audit. */
import { AuditShape } from "../../resources/audit.ts";
import { RequestDetailShape, RequestShape, RequestsQuery } from "../../resources/requests.ts";
import { UpstreamUsageShape, UpstreamUsageQuery } from "../../resources/upstream-usage.ts";
import { UsageShape, UsageQuery } from "../../resources/usage.ts";
import { WriteOffShape, WriteOffsQuery } from "../../resources/write-offs.ts";
import { PageInput, pageShape } from "../page.ts";
import { API, route } from "../route.ts";
import type { ControlRoute } from "../route.ts";
import { ALL, READERS, STAFF } from "./roles.ts";

export const RECORDS: readonly ControlRoute[] = [
  route(ALL, {
    name: "listRequests",
    method: "GET",
    path: `${API}/requests`,
    summary: "Rows of requests, newest first.",
    query: RequestsQuery,
    answer: pageShape(RequestShape),
    act: (operations, { caller, query }) => operations.requests.list(caller, query),
  }),
  route(ALL, {
    name: "showRequest",
    method: "GET",
    path: `${API}/requests/{id}`,
    summary: "One request with its attempts and its receipt.",
    answer: RequestDetailShape,
    act: (operations, { caller, id }) => operations.requests.show(caller, id),
  }),
  route(ALL, {
    name: "listUsage",
    method: "GET",
    path: `${API}/usage`,
    summary: "Sums of requests by day or hour, and by account, key, model or upstream; oldest first.",
    query: UsageQuery,
    answer: pageShape(UsageShape),
    act: (operations, { caller, query }) => operations.usage.sums(caller, query),
  }),
  route(ALL, {
    name: "listWriteOffs",
    method: "GET",
    path: `${API}/write-offs`,
    summary: "Requests that cost more than could be taken, newest first.",
    query: WriteOffsQuery,
    answer: pageShape(WriteOffShape),
    act: (operations, { caller, query }) => operations.writeOffs.list(caller, query),
  }),
  route(READERS, {
    name: "listUpstreamUsage",
    method: "GET",
    path: `${API}/upstream-usage`,
    summary: "What all attempts at an upstream used, failed ones too, by UTC day and upstream model; oldest first.",
    query: UpstreamUsageQuery,
    answer: pageShape(UpstreamUsageShape),
    act: (operations, { query }) => operations.upstreamUsage.sums(query),
  }),
  route(STAFF, {
    name: "listAudit",
    method: "GET",
    path: `${API}/audit`,
    summary: "Every change and who made it, newest first.",
    query: PageInput,
    answer: pageShape(AuditShape),
    act: (operations, { query }) => operations.audit.list(query),
  }),
];
