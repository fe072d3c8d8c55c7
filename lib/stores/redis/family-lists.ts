import { isOwnedBy, readPage } from '../family-pages.ts'
import { writeCursor } from '../list-place.ts'
import type { CodeRecord, FamilyOwner, FamilyQuery, FamilyView, Grant, RefreshPolicy } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import { enterList, leaveList, readList } from './lists.ts'
import type { Runner } from './runner.ts'

/** How long lists have a grant after its code, in ms: should the entry of its family be lost, its owner still sees it for a day. */
const CODE_LIST = 86_400_000
/** Families that are read at once for a list, and the most entries that one page looks at. */
const BATCH = 100
const MAX_LOOKED_AT = 5000

/** Whose families there are: lists are hints for people, of which a few entries may be late or lost. */
export function familyLists(run: Runner['run'], keys: Keys) {
  function ownersOf({ subject, clientId, idpSession }: Grant): FamilyOwner[] {
    return [{ subject }, { clientId }, ...(idpSession === undefined ? [] : [{ idpSession }])]
  }

  /** Twice its life: a family that is prolonged is entered again when it has been alive for one more. */
  const familyStays = (life: number) => 2 * Math.max(toMilliseconds(life), 60_000)

  async function index(grant: Grant, stays: number): Promise<void> {
    await Promise.all(ownersOf(grant).map((owner) => run(enterList, [keys.list(owner)], [grant.id, stays])))
  }

  async function isLast(list: string, end: string, id: string): Promise<boolean> {
    const { rest } = await run(readList, [list], [end, id, 1])
    return rest.length === 0
  }

  return {
    async enterCode({ grant, expiresAt }: CodeRecord, refreshLifetime: number): Promise<void> {
      const staysAsCode = CODE_LIST + Math.max(toMilliseconds(expiresAt - grant.createdAt), 0)
      await index(grant, Math.min(staysAsCode, familyStays(refreshLifetime)))
    },

    enter(grant: Grant, { lifetime, idpSession }: RefreshPolicy): Promise<void> {
      const isBound = idpSession !== undefined && grant.idpSession !== undefined
      return index(grant, familyStays(isBound ? Math.max(lifetime, idpSession.keptFor) : lifetime))
    },

    async leave(grant: Grant): Promise<void> {
      await Promise.all(ownersOf(grant).map((owner) => run(leaveList, [keys.list(owner)], [grant.id])))
    },

    async read(query: FamilyQuery, readFamily: (grantId: string) => Promise<FamilyView | undefined>) {
      const { owner, size, after } = readPage(query)
      const list = keys.list(owner)
      const families: FamilyView[] = []
      let [end, id] = after === undefined ? ['', ''] : [String(after.at), after.id]
      for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT; ) {
        const wanted = Math.min(size - families.length, BATCH)
        const { rest } = await run(readList, [list], [end, id, wanted])
        const ids = rest.filter((_, position) => position % 2 === 0).map(String)
        for (const view of await Promise.all(ids.map(readFamily)))
          if (view !== undefined && view.ended === undefined && isOwnedBy(view.grant, owner))
            families.push(view)
        if (ids.length < wanted) return { families, cursor: undefined }
        lookedAt += ids.length
        ;[id, end] = [ids.at(-1) ?? '', String(rest.at(-1))]
        if (families.length >= size && (await isLast(list, end, id))) return { families, cursor: undefined }
        if (families.length >= size) break
      }
      return { families, cursor: writeCursor({ at: Number(end), id }) }
    },
  }
}
