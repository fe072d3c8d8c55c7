import { createRecent } from './recent.ts'

/** Bad tokens over good ones from one address that make it a suspect, and the most that are held against it. */
const SUSPECT = 8
const WORST = 64
/** Addresses of which it is remembered. */
const ADDRESSES = 4096

/** Addresses that present bad tokens again and again. Good ones make up for them: an address of many is no suspect for ever. */
export function createSuspects() {
  const held = createRecent<string, number>(ADDRESSES)
  return {
    has: (address: string): boolean => (held.get(address) ?? 0) >= SUSPECT,

    judge(address: string, isGood: boolean): void {
      const now = held.get(address) ?? 0
      if (!isGood) held.set(address, Math.min(now + 1, WORST))
      else if (now > 0) held.set(address, now - 1)
    },
  }
}
