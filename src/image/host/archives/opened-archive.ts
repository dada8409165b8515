import type { ImageProvider, RootDocument } from "../image-provider.ts";

/** An image found in a folder or an archive, ready to be brought into the store. */
export interface OpenedArchive {
  readonly root: RootDocument;
  readonly provider: ImageProvider;
  /** Canonical name, as the archive tells it or made from the archive's own name. */
  readonly reference: string;
}
