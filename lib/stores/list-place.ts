import type { NumericDate } from '../protocol/time.ts'

/** A place in a list, not what stood there: that one may have ended since. */
export interface ListPlace {
  readonly at: NumericDate
  /** Of a family or an initial access token its id, of a client a hash of its id: 22 characters of base64url. */
  readonly id: string
}

export function writeCursor({ at, id }: ListPlace): string {
  return `${at}.${id}`
}

/** @throws TypeError for a cursor that no page gave */
function readCursor(cursor: unknown): ListPlace {
  const [, at = '', id = ''] =
    (typeof cursor === 'string' && /^(\d{1,16}(?:\.\d{1,9})?)\.([\w-]{22})$/.exec(cursor)) || []
  if (id === '') throw new TypeError('list: cursor must be one that a page gave')
  return { at: Number(at), id }
}

/** @throws TypeError for what is no number */
function readPageSize(limit: unknown = 100): number {
  if (typeof limit !== 'number' || Number.isNaN(limit)) throw new TypeError('list: limit must be a number')
  return Math.min(Math.max(1, Math.trunc(limit)), 1000)
}

/** A page of a list: how many entries it has, and behind which place it begins. @throws TypeError */
export function readListPage({
  limit,
  cursor,
}: {
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}): { readonly size: number; readonly after: ListPlace | undefined } {
  return { size: readPageSize(limit), after: cursor === undefined ? undefined : readCursor(cursor) }
}

/** Oldest first; of one moment by id. */
export function comparePlaces(a: ListPlace, b: ListPlace): number {
  return a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
}
