import type { Code } from './wire.ts'

/** What a failed call has to say for programs. */
export interface ErrorData {
  code: Code
  retryable: boolean
  retry_after_ms?: number
  expected?: number
  rule?: string
  reason?: string
}

/** What to do about an error, where the server's sentence does not say it. */
const hints: Partial<Record<Code, string>> = {
  session_required: 'Sign in first.',
  user_rejected: 'Let the user try again.',
  disconnected: 'Is the server up, and this page\'s origin listed?',
  budget_exhausted: 'Sign in anew.',
}

/** Every error that this package throws. Branch on `code`; show `message`, one sentence for the user. */
export class WritError extends Error {
  readonly code: Code
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  readonly hint: string
  /** Where the server has a page about it. */
  readonly docs: string
  readonly data: ErrorData

  constructor(message: string, data: ErrorData) {
    super(message)
    this.name = 'WritError'
    this.code = data.code
    this.retryable = data.retryable
    this.hint = hints[data.code] ?? ''
    this.docs = '/docs/errors/' + data.code
    this.data = data
  }
}

/** @internal */
export const failure = (code: Code, message: string, retryable = false): WritError =>
  new WritError(message, { code, retryable })

export const lost = (retryable = true): WritError => failure('disconnected', 'The connection was lost.', retryable)

/** @internal Asks a wallet. What it throws becomes an error with a code: 4001 is "no" (EIP-1193); ethers has its own word for it. */
export const askWallet = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask()
  } catch (e) {
    const { code, name } = (e ?? {}) as { code?: unknown; name?: string }
    throw code === 4001 || code === 'ACTION_REJECTED' || name === 'UserRejectedRequestError'
      ? failure('user_rejected', 'The wallet refused to sign.') : e
  }
}
