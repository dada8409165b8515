import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { errnoOf } from "../../../errors/system-failure.ts";
import { askHelper } from "./credential-helper.ts";

/** Who the user is at a registry. */
export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** A refresh token, exchanged for access tokens at the registry's token server. */
  | { readonly kind: "identity-token"; readonly token: string };

/** What was found, or why nothing was. */
export interface CredentialLookup {
  readonly credentials?: Credentials;
  /** A clause for the hint of a later refusal: a helper that is configured but missing, for example. */
  readonly note?: string;
}

/**
 * Looks credentials up where `docker login` keeps them: `config.json` in `$DOCKER_CONFIG` or `~/.docker`, either in
 * the file itself (`auths`) or in a helper program (`credHelpers` for one registry, `credsStore` for all).
 *
 * @throws SupermachineError `INVALID_ARGUMENT` when the file cannot be read, `REGISTRY_AUTH` when a helper fails
 */
export async function findCredentials(
  domain: string,
  environment: NodeJS.ProcessEnv,
): Promise<CredentialLookup> {
  const config = await readDockerConfig(environment);
  const key = domain === "docker.io" ? dockerHubKey : domain;
  const helper = config.credHelpers?.[key] ?? config.credHelpers?.[domain] ?? config.credsStore;
  const answer = helper === undefined || helper === "" ? {} : await askHelper(helper, key, environment);
  if (answer.credentials !== undefined) return answer;
  const entry = Object.entries(config.auths ?? {}).find(([name]) => registryOf(name) === registryOf(key));
  const credentials = entry === undefined ? undefined : fromEntry(entry[1], domain);
  return credentials === undefined ? answer : { credentials };
}

/** Docker Hub's entry still has the name of its first API. */
const dockerHubKey = "https://index.docker.io/v1/";
const maximumConfigLength = 1024 * 1024;

const entrySchema = v.object({
  auth: v.nullish(v.string()),
  username: v.nullish(v.string()),
  password: v.nullish(v.string()),
  identitytoken: v.nullish(v.string()),
});
const configSchema = v.object({
  auths: v.optional(v.record(v.string(), entrySchema)),
  credHelpers: v.optional(v.record(v.string(), v.string())),
  credsStore: v.optional(v.string()),
});

async function readDockerConfig(environment: NodeJS.ProcessEnv): Promise<v.InferOutput<typeof configSchema>> {
  const folder = environment["DOCKER_CONFIG"] || join(environment["HOME"] || homedir(), ".docker");
  const path = join(folder, "config.json");
  try {
    const text = await readFile(path, "utf8");
    if (text.length > maximumConfigLength) throw new RangeError("The file is too long");
    return v.parse(configSchema, JSON.parse(text));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return {};
    throw new SupermachineError("INVALID_ARGUMENT", `Cannot read Docker's configuration file '${path}'`, {
      hint: "Correct the file, or point DOCKER_CONFIG to another folder",
      cause: error,
    });
  }
}

/** Entries are hosts or old-style addresses: `https://host/v1/`. */
function registryOf(name: string): string {
  return name
    .replace(/^https?:\/\//, "")
    .replace(/\/.*$/, "")
    .toLowerCase();
}

function fromEntry(entry: v.InferOutput<typeof entrySchema>, domain: string): Credentials | undefined {
  if (entry.identitytoken) return { kind: "identity-token", token: entry.identitytoken };
  if (entry.username && entry.password)
    return { kind: "password", username: entry.username, password: entry.password };
  if (!entry.auth) return undefined;
  const decoded = Buffer.from(entry.auth, "base64").toString("utf8").replace(/\0+$/, "");
  const colon = decoded.indexOf(":");
  if (colon < 1)
    throw new SupermachineError("INVALID_ARGUMENT", `The saved login for '${domain}' is malformed`, {
      hint: `Log in again: docker login ${domain}`,
    });
  return { kind: "password", username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}
