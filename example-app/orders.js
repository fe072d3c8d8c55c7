/** @typedef {{ id: number, user: string, product: string, quantity: number, placedAt: string }} Order */
/** @typedef {ReturnType<typeof createOrders>} Orders */

export const products = [
  { id: 'teapot', name: 'Teapot, short and stout', price: 24.5 },
  { id: 'pocket-watch', name: 'Pocket watch, always late', price: 89 },
  { id: 'chess-set', name: 'Chess set, red and white', price: 42 },
  { id: 'hard-hat', name: 'Hard hat, yellow', price: 18 },
]

/** A wrong order, in words for the one who placed it. */
export class WrongOrder extends Error {}

/** Where orders are kept, in the order in which they came: here, in memory. */
const inMemory = () => {
  /** @type {string[]} */
  const entries = []
  return { push: async (/** @type {string} */ entry) => entries.push(entry), all: async () => entries }
}

/** What the shop begins with. */
const first = [
  { user: 'alice', product: 'pocket-watch', quantity: 1 },
  { user: 'alice', product: 'teapot', quantity: 2 },
  { user: 'bob', product: 'hard-hat', quantity: 1 },
].map((order) => ({ ...order, placedAt: '2026-01-05T09:30:00.000Z' }))

/**
 * The orders of this shop.
 * @param {{ push(entry: string): Promise<number>, all(): Promise<string[]> }} list `push` tells the new length
 */
export function createOrders(list = inMemory()) {
  /** @returns {Promise<Order[]>} */
  const all = async () => {
    const placed = (await list.all()).map((entry) => JSON.parse(entry))
    return [...first, ...placed].map((order, index) => ({ id: index + 1, ...order }))
  }

  /**
   * @param {string} user
   * @param {unknown} wanted what came from outside: nothing about it is known yet
   * @returns {Promise<Order>}
   */
  async function place(user, wanted) {
    if (typeof wanted !== 'object' || wanted === null) throw new WrongOrder('an order is an object')
    const { product, quantity = 1 } = /** @type {Record<string, unknown>} */ (wanted)
    const known = products.map(({ id }) => id)
    if (typeof product !== 'string' || !known.includes(product))
      throw new WrongOrder(`product must be one of ${known.join(', ')}`)
    if (typeof quantity !== 'number' || !Number.isInteger(quantity) || quantity < 1 || quantity > 10)
      throw new WrongOrder('quantity must be a whole number from 1 to 10')
    const order = { user, product, quantity, placedAt: new Date().toISOString() }
    return { id: first.length + (await list.push(JSON.stringify(order))), ...order }
  }

  return {
    place,
    /** @param {string} user */
    of: async (user) => (await all()).filter((order) => order.user === user),
    all,
  }
}
