/**
 * The token a page was opened with: it comes in the URL fragment (which no server ever sees),
 * moves to the tab's storage and leaves the address bar, so that it is neither bookmarked nor
 * read over a shoulder.
 */

import type { TabMemory } from "./storage";

/** What a link may carry behind `#`. */
export interface LinkFields {
  readonly token: string | null;
  readonly name: string | null;
}

/** Read `#token=...&name=...`; unknown fields are ignored. */
export function readFragment(fragment: string): LinkFields {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  return { token: fields.get("token")?.trim() || null, name: fields.get("name")?.trim() || null };
}

/** Keep what the link carries; a link without a token leaves the remembered one as it is. */
export function keepLinkFields(fields: LinkFields, memory: TabMemory): void {
  if (fields.token !== null) {
    memory.write("token", fields.token);
  }
  if (fields.name !== null) {
    memory.write("name", fields.name);
  }
}

/**
 * Move the fragment's fields to the tab's storage and take them out of the address bar. Says
 * whether there was a token.
 */
export function adoptLink(memory: TabMemory): boolean {
  const fields = readFragment(window.location.hash);
  keepLinkFields(fields, memory);
  if (fields.token !== null) {
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
  }
  return fields.token !== null;
}
