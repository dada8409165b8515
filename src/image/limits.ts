/** Manifests, indexes and configurations are at most this long; registries commonly refuse longer ones. */
export const maximumManifestLength: number = 4 * 1024 * 1024;

/** Docker itself stops at 127 layers; other builders make more. */
export const maximumLayers = 512;

/** Entries of one index. */
export const maximumIndexEntries = 1024;

/** How deep an index may lie within indexes. */
export const maximumIndexDepth = 4;

/** One layer as stored. Large model images have layers of tens of GiB. */
export const maximumLayerLength: number = 1024 ** 4;
