/**
 * What a tab remembers across a reload: sessionStorage, or plain memory where the browser
 * forbids storage (then only the reload forgets).
 */

const PREFIX = "throughline.";

export type Remembered = "token" | "conversation_id" | "identity" | "name";

/** The part of Storage that is used, so that tests can hand in a Map of their own. */
export interface Keeper {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export class TabMemory {
  private readonly fallback = new Map<string, string>();

  constructor(private readonly keeper: Keeper | null) {}

  read(key: Remembered): string | null {
    return this.guarded((keeper) => keeper.getItem(PREFIX + key)) ?? this.fallback.get(key) ?? null;
  }

  write(key: Remembered, value: string): void {
    this.fallback.set(key, value);
    this.guarded((keeper) => keeper.setItem(PREFIX + key, value));
  }

  forget(key: Remembered): void {
    this.fallback.delete(key);
    this.guarded((keeper) => keeper.removeItem(PREFIX + key));
  }

  private guarded<T>(use: (keeper: Keeper) => T): T | null {
    try {
      return this.keeper === null ? null : use(this.keeper);
    } catch {
      return null; // storage is full or forbidden: the fallback has it
    }
  }
}

/** The tab's own storage; merely asking for it throws where cookies are blocked. */
export function tabStorage(): Keeper | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
