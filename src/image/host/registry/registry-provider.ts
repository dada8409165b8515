import type { Descriptor } from "../../manifest.ts";
import type { Origin } from "../../origin.ts";
import { canonicalName, type ImageReference } from "../../reference.ts";
import type { ImageProvider } from "../image-provider.ts";
import type { ContentStore } from "../store/content-store.ts";
import { downloadBlob } from "./blob-download.ts";
import type { RegistryClient } from "./registry-client.ts";

/** A repository in a registry as a source of images. */
export class RegistryProvider implements ImageProvider {
  readonly origin: Origin;
  readonly #client: RegistryClient;
  readonly #store: ContentStore;

  constructor(reference: ImageReference, context: { client: RegistryClient; store: ContentStore }) {
    this.origin = { invalid: "REGISTRY_PROTOCOL", name: canonicalName(reference) };
    this.#client = context.client;
    this.#store = context.store;
  }

  async manifest(descriptor: Descriptor): Promise<Uint8Array> {
    return (await this.#client.manifest(descriptor.digest)).bytes;
  }

  async blob(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly onLength: (length: number) => void },
  ): Promise<void> {
    await downloadBlob(descriptor, { ...options, client: this.#client, store: this.#store });
  }
}
