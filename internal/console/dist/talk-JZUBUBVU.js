import{a,b,c,d}from"./chunk-2IJKPZPE.js";import"./chunk-67PVQSJQ.js";import"./chunk-NSH7HHIN.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
