/** Requests that were signed as HTTP are checked by web/reader and by writ-audit: in a page there is no room for it. */
export const isSigned = (): boolean => {
  throw Error('unsupported: HTTP')
}
