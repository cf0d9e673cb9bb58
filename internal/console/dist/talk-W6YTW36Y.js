import{a,b,c,d}from"./chunk-2ZJQR6WJ.js";import"./chunk-FOLSE2SN.js";import"./chunk-NSH7HHIN.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
