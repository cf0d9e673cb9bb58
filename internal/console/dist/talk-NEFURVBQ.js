import{a,b,c,d}from"./chunk-XDRWXVPJ.js";import"./chunk-T2E7KXIH.js";import"./chunk-NSH7HHIN.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
