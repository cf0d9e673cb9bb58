import{ed25519Verify as z,same as m,sha256 as f,want as c}from"./verify.js";var d=new TextEncoder,A=(...e)=>Uint8Array.from(e.flatMap(n=>[...n])),B=65536,I=63;function b(e,n){let t;try{t=atob(e)}catch{return}return btoa(t)===e&&t.length===(n??t.length)?Uint8Array.from(t,s=>s.charCodeAt(0)):void 0}var q=e=>/^(0|[1-9][0-9]{0,18})$/.test(e)&&BigInt(e)<1n<<63n;function O(e){let[,n,t,s]=/^([^+\s]+)\+([0-9a-f]{8})\+(.+)$/.exec(e)??[],r=b(s??"",33);c(r&&r[0]===1,"log.key","a log's key is name+hash+key, as the server says it at /log/");let o=f(d.encode(n+`
`),r).subarray(0,4);return c(Array.from(o,i=>i.toString(16).padStart(2,"0")).join("")===t,"log.key","the hash in the log's key is another key's; copy it again"),{name:n,id:o,key:r.subarray(1)}}function w(e,n){let t=e.indexOf(n);return t<0?[e]:[e.slice(0,t),e.slice(t+n.length)]}function $(e){let n=`c2sp.org/tlog-proof@v1
`;c(e.startsWith(n)&&d.encode(e).length<=B,"log.form","not a proof of logging");let[t,s]=w(e.slice(n.length),`

`);c(s,"log.form","a proof without a checkpoint");let r=t.split(`
`),o=r[0].startsWith("extra ")?b(r.shift().slice(6)):[],[,i]=w(r.shift()??"","index "),a=r.map(k=>b(k,32));return c(o&&t.startsWith(o.length?"extra ":"index ")&&q(i??"")&&a.length<=I&&!a.includes(void 0),"log.form","a proof whose lines are not extra, index and hashes"),{extra:o,index:BigInt(i),hashes:a,checkpoint:s}}async function W(e,n){let[t,s,r]=w(e,`

`)[0].split(`
`),o=b(r??"",32);c(e.includes(`

`)&&e.endsWith(`
`)&&t&&q(s??"")&&o,"log.form","not a checkpoint"),c(t===n.name,"log.origin",`a checkpoint of the log ${JSON.stringify(t.slice(0,100))}, which is not one that counts`);let i=e.lastIndexOf(`

`)+1,a=`\u2014 ${n.name} `,u=e.slice(i+1).split(`
`).filter(l=>l.startsWith(a)).map(l=>b(l.slice(a.length),68)).find(l=>l&&m(l.subarray(0,4),n.id));return c(u&&await z(n.key,d.encode(e.slice(0,i)),u.subarray(4)),"log.key","the checkpoint is not signed by the log's key"),{size:BigInt(s),root:o}}function N(e,n,t){let s=new Uint8Array(8);new DataView(s.buffer).setBigUint64(0,BigInt(t));let r=f(d.encode(`writ/log/salt/1
`),n),o=f(d.encode(`writ/log/pad/1
`),r,s);return A(f(d.encode(`writ/log/tag/1
`),r),s,o.map((i,a)=>i^e[a]))}function U({index:e,hashes:n},t,{size:s,root:r}){if(e>=s)return!1;let o=f([0],t),i=s-1n;for(let a of n){if(i===0n)return!1;if(e&1n||e===i)for(o=f([1],a,o);!(e&1n)&&e>0n;e>>=1n)i>>=1n;else o=f([1],o,a);e>>=1n,i>>=1n}return i===0n&&m(o,r)}async function T(e,n,t,{head:{run:{bytes:s},seq:r},steps:o},i,a){let k=O(e),u=i.bytes.slice(-32),l=async(p,h,g)=>{let y=await W(p.checkpoint,k);return c(U(p,N(h,s,g),y),"log.proof",`the proof does not lead from this head to the checkpoint of size ${y.size}`),{index:Number(p.index),size:Number(y.size)}},x=n&&await l($(new TextDecoder().decode(n)),u,r);for(let p of t){let h;try{let g=$(p);h=await a(g.extra),c(m(h.run.bytes,s),"log.receipt","it is for another run");let y=await l(g,f(g.extra),h.seq);m(f(g.extra),u)&&(x??=y)}catch(g){c(!1,"log.receipt",`a receipt does not hold: ${g.message}`)}c(h.seq<o.length,"log.cut",`a receipt is for step ${h.seq}, and the history ends before it`),c(m(o[h.seq].bytes,h.step.bytes),"log.branch",`a receipt is for another step ${h.seq} of this run`)}return x}export{T as checkLog,O as readKey,$ as readProof};
