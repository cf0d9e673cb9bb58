import{a,b,c,d}from"./chunk-OJA56YCJ.js";import"./chunk-6HIGXTHB.js";import"./chunk-HOQJQPDO.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
