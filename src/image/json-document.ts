import * as v from "valibot";
import { maximumManifestLength } from "./limits.ts";
import { invalidDocument, type Origin } from "./origin.ts";

/** Parses `bytes` as JSON of the given shape; `what` names the document in errors ("its manifest"). */
export function parseJsonDocument<Schema extends v.GenericSchema>(
  bytes: Uint8Array,
  schema: Schema,
  context: { readonly origin: Origin; readonly what: string },
): v.InferOutput<Schema> {
  const { origin, what } = context;
  if (bytes.length > maximumManifestLength)
    throw invalidDocument(origin, `${what} is longer than ${maximumManifestLength} bytes`);
  const result = v.safeParse(schema, parseJson(bytes, context), { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue);
  throw invalidDocument(origin, `${what} is malformed${path === null ? "" : ` at '${path.slice(0, 100)}'`}`);
}

function parseJson(bytes: Uint8Array, context: { readonly origin: Origin; readonly what: string }): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalidDocument(context.origin, `${context.what} is not JSON`, error);
  }
}
