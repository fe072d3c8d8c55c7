import type { Stores } from '../../lib/index.ts'

/** A call of a store's verb, with what it was given and what it answered. */
export interface StoreCall {
  store: keyof Stores
  verb: string
  parameters: unknown[]
  answer: unknown
}

/** The same stores, with a list of every call; what could be in a dump of the store is in it. */
export function recordingStores(stores: Stores): { stores: Stores; calls: StoreCall[] } {
  const calls: StoreCall[] = []
  const recorded: Record<string, unknown> = { kind: stores.kind }
  for (const [name, store] of Object.entries(stores)) {
    if (typeof store !== 'object') continue
    recorded[name] = Object.fromEntries(
      Object.entries(store as Record<string, (...parameters: unknown[]) => unknown>).map(([verb, run]) => [
        verb,
        (...parameters: unknown[]) => {
          const call: StoreCall = { store: name as keyof Stores, verb, parameters, answer: undefined }
          calls.push(call)
          const answer = run(...parameters)
          if (answer instanceof Promise)
            return answer.then((value) => {
              call.answer = value
              return value
            })
          return answer
        },
      ]),
    )
  }
  return { stores: recorded as unknown as Stores, calls }
}

/** The verbs that requests caused, in order: without what an instance reads by itself each second. */
export function verbsOfRequests(calls: readonly StoreCall[]): string[] {
  return calls
    .map(({ store, verb }) => `${store}.${verb}`)
    .filter((verb) => verb !== 'ring.read' && verb !== 'revocations.since')
}
