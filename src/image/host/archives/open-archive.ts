import { invalidDocument } from "../../origin.ts";
import type { ImageSource } from "../../source.ts";
import type { ContentStore } from "../store/content-store.ts";
import { type ArchiveFileOptions, openArchiveFile, uncompressed } from "./archive-file.ts";
import { openDockerArchive } from "./docker-archive.ts";
import { FolderFiles } from "./folder-files.ts";
import type { ImageFiles } from "./image-files.ts";
import { openOciLayout } from "./oci-layout.ts";
import type { OpenedArchive } from "./opened-archive.ts";
import { TarFiles } from "./tar-files.ts";

/** A source that is a folder, a file or a stream. */
export type ArchiveSource = Exclude<ImageSource, { kind: "registry" }>;

/** Opens the archive for as long as `use` runs; copies made to read it are gone afterwards. */
export async function withArchive<Result>(
  source: ArchiveSource,
  options: ArchiveFileOptions & { readonly store: ContentStore },
  use: (archive: OpenedArchive) => Promise<Result>,
): Promise<Result> {
  if (source.kind === "oci") {
    using files = new FolderFiles(source.path);
    return await use(openOciLayout(files, { name: source.name, store: options.store }));
  }
  const path = source.kind === "stdin" ? "-" : source.path;
  using archive = await uncompressed(await openArchiveFile(path, options), options);
  using files = new TarFiles(archive.path, archive.name);
  const name = source.kind === "stdin" ? undefined : source.name;
  const { store, signal } = options;
  if (kindOf(source, files) === "oci") return await use(openOciLayout(files, { name, store }));
  return await use(await openDockerArchive(files, { name, store, signal }));
}

/** Newer versions of `docker save` write both kinds into one file; OCI's says more. */
function kindOf(source: ArchiveSource, files: ImageFiles): "oci" | "docker" {
  if (source.kind !== "stdin") return source.kind === "oci-archive" ? "oci" : "docker";
  if (files.size("index.json") !== undefined) return "oci";
  if (files.size("manifest.json") !== undefined) return "docker";
  throw invalidDocument(
    files.origin,
    "it has neither index.json nor manifest.json, so it is no image archive",
  );
}
