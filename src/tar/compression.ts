/** How a layer or an archive is stored. */
export type Compression = "none" | "gzip" | "zstd";
